"""JSON that holds several readings, with the text of each as it was received. Pure."""

import re
from json import JSONDecoder
from typing import Any

NO_SPACE = re.compile(r"[^ \t\n\r]")


def decode_several(decoder: JSONDecoder, text: str) -> tuple[Any, list[str]]:
    """What `text` says, and the text of each element of its array: itself, or the member `readings` of its object.

    ValueError where it is no JSON.
    """
    start = _skip(text, 0)
    texts: list[str] = []
    content: Any
    if text[start : start + 1] == "[":
        content, texts, end = _array(decoder, text, start)
    elif text[start : start + 1] == "{":
        content, texts, end = _object(decoder, text, start)
    else:
        content, end = decoder.raw_decode(text, start)
    if _skip(text, end) != len(text):
        raise ValueError("something follows")
    return content, texts


def _object(decoder: JSONDecoder, text: str, start: int) -> tuple[dict[str, Any], list[str], int]:
    content: dict[str, Any] = {}
    texts: list[str] = []
    place = _skip(text, start + 1)
    while text[place : place + 1] != "}" or content:
        name, place = decoder.raw_decode(text, place)
        if not isinstance(name, str):
            raise ValueError("a name is no text")
        place = _skip(text, _expect(text, _skip(text, place), ":"))
        if name == "readings":  # said twice, the last one counts
            texts = []
        if name == "readings" and text[place : place + 1] == "[":
            content[name], texts, place = _array(decoder, text, place)
        else:
            content[name], place = decoder.raw_decode(text, place)
        place = _skip(text, place)
        if text[place : place + 1] == "}":
            break
        place = _skip(text, _expect(text, place, ","))
    return content, texts, place + 1


def _array(decoder: JSONDecoder, text: str, start: int) -> tuple[list[Any], list[str], int]:
    content: list[Any] = []
    texts: list[str] = []
    place = _skip(text, start + 1)
    while text[place : place + 1] != "]" or content:
        value, end = decoder.raw_decode(text, place)
        content.append(value)
        texts.append(text[place:end])
        place = _skip(text, end)
        if text[place : place + 1] == "]":
            break
        place = _skip(text, _expect(text, place, ","))
    return content, texts, place + 1


def _skip(text: str, place: int) -> int:
    found = NO_SPACE.search(text, place)
    return found.start() if found else len(text)


def _expect(text: str, place: int, sign: str) -> int:
    if text[place : place + 1] != sign:
        raise ValueError(f"no {sign}")
    return place + 1
