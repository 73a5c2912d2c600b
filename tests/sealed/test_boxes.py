"""Secrets that must be used again lie sealed in the database, and open only when asked."""

import json
import pickle
from typing import Any

import pytest

from sealed.boxes import SealBroken, Sealed, is_usable, key_id, new_key, seal, unseal

OLD, NEW = new_key(), new_key()
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _one_key(settings: Any) -> None:
    settings.SEALING_KEYS = [OLD]


class TestSealing:
    def test_what_is_sealed_opens_again(self) -> None:
        assert unseal(seal(SECRET)) == SECRET

    def test_any_text_survives(self) -> None:
        for text in ("x", "chiave con spazi", "àèìòù €", "a:b:c", "\n"):
            assert Sealed.close(text).open() == text

    def test_the_text_does_not_show_in_what_is_stored(self) -> None:
        assert SECRET not in seal(SECRET)

    def test_the_same_text_is_never_stored_alike(self) -> None:
        assert seal(SECRET) != seal(SECRET)

    def test_what_is_stored_names_its_key_and_not_the_key_itself(self) -> None:
        name, _, token = seal(SECRET).partition(":")
        assert name == key_id(OLD)
        assert OLD not in token

    def test_no_text_is_the_empty_seal(self) -> None:
        assert Sealed.close("") == Sealed()
        assert Sealed().open() == ""
        assert not Sealed()
        assert Sealed.close(SECRET)


class TestRotation:
    def test_the_newest_key_seals_and_every_key_opens(self, settings: Any) -> None:
        before = seal(SECRET)
        settings.SEALING_KEYS = [NEW, OLD]
        after = seal(SECRET)
        assert after.startswith(key_id(NEW))
        assert unseal(before) == unseal(after) == SECRET

    def test_what_is_left_to_reseal_can_be_told_by_its_key_id(self, settings: Any) -> None:
        before = seal(SECRET)
        settings.SEALING_KEYS = [NEW, OLD]
        assert before.startswith(f"{key_id(OLD)}:")
        assert not seal(unseal(before)).startswith(f"{key_id(OLD)}:")

    def test_once_the_old_key_is_gone_what_it_sealed_does_not_open(self, settings: Any) -> None:
        before = seal(SECRET)
        settings.SEALING_KEYS = [NEW]
        with pytest.raises(SealBroken, match=key_id(OLD)):
            unseal(before)


class TestBroken:
    @pytest.mark.parametrize("at", [9, 20, 60, -1])
    def test_a_changed_character_is_noticed(self, at: int) -> None:
        characters = list(seal(SECRET))
        characters[at] = "A" if characters[at] != "A" else "B"
        with pytest.raises(SealBroken):
            unseal("".join(characters))

    def test_a_token_under_the_name_of_another_key_is_noticed(self, settings: Any) -> None:
        settings.SEALING_KEYS = [OLD, NEW]
        token = seal(SECRET).partition(":")[2]
        with pytest.raises(SealBroken):
            unseal(f"{key_id(NEW)}:{token}")

    @pytest.mark.parametrize("stored", [SECRET, f"{SECRET}:x", ":", "x", f"{'0' * 8}", f"{'0' * 8}:{SECRET}", "è:è"])
    def test_a_value_that_was_never_sealed_does_not_open_and_is_not_repeated(self, stored: str) -> None:
        """The sentence ends up in the history and in logs."""
        with pytest.raises(SealBroken) as broken:
            unseal(stored)
        assert SECRET not in str(broken.value)

    def test_the_sentence_of_a_damaged_one_repeats_neither_value_nor_cause(self) -> None:
        with pytest.raises(SealBroken) as broken:
            unseal(seal(SECRET)[:-4] + "AAAA")
        assert str(broken.value) == f"a stored secret sealed with key {key_id(OLD)} is damaged"
        assert broken.value.__suppress_context__


class TestShown:
    def test_printing_shows_nothing(self) -> None:
        box = Sealed.close(SECRET)
        for shown in (repr(box), str(box), f"{box}", f"{[box]}"):
            assert SECRET not in shown
            assert box.token not in shown

    def test_an_empty_one_says_that_it_is_empty(self) -> None:
        assert repr(Sealed()) == "Sealed()"

    def test_json_refuses_it(self) -> None:
        with pytest.raises(TypeError):
            json.dumps({"key": Sealed.close(SECRET)})

    def test_a_copy_sent_elsewhere_is_still_sealed(self) -> None:
        assert SECRET.encode() not in pickle.dumps(Sealed.close(SECRET))


class TestKeys:
    def test_a_new_key_can_be_used_and_is_always_another(self) -> None:
        assert is_usable(new_key())
        assert new_key() != new_key()

    @pytest.mark.parametrize("key", ["", "short", "x" * 44, "è" * 44, "AAAA", "QUFB" * 10])
    def test_anything_but_32_bytes_in_base64_cannot(self, key: str) -> None:
        assert not is_usable(key)
