"""The wire to IO's services API: what we send, what IO answers, in our words. No Django, no ORM, nothing stored.

`payloads` says what a message may be, `client` makes the calls, `outcomes` turns every answer or fault into one of a
few values that tell the caller what to do next.
"""
