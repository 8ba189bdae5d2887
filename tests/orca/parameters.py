"""Texts that parameters may hold."""

PARAMETERS = {
    "quotes": "say \"hi\" and 'hi' and \\ and `hi`",
    "newlines": "one\ntwo\r\nthree\ttab",
    "emoji": "日本 😀 é",
    "JSON": '{"a": [1, null, "}"]}',
    "100 KiB": "0123456789abcdé\n" * (100 * 1024 // 16),
    "signs of other languages": "#{1} $ { } $$ {{ x }} {% if %} $a",
    "empty": "",
}
