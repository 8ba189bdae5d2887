/* The tables of filters and tests, and what all of them share.
 *
 * Where Jinja has a filter of the name, ours gives what Jinja gives; but a value of the wrong kind is a fault where
 * Jinja would guess, since a request made of a guess has been sent before anyone can look. The tables are also the
 * manual (docs/templates.md) and its tests. `default` and `is defined` are part of the
 * language, and their rows are here for the manual only: they have to see that a value is undefined. */
#include "lang/filter.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lang/filter_each.h"

const struct filter filter_table[] = {
    {"default", "default_value* boolean", FILTER_PLAIN, filter_keep,
     "default_value where the value is undefined or null, or with boolean = true not true; also written d",
     "{{ nope.x | default('none') }} {{ '' | d('empty', true) }}", "none empty"},
    {"upper", "", FILTER_PLAIN, filter_upper, "the text in capitals", "{{ 'abc é' | upper }}", "ABC É"},
    {"lower", "", FILTER_PLAIN, filter_lower, "the text in small letters", "{{ 'ABC' | lower }}", "abc"},
    {"trim", "chars", FILTER_PLAIN, filter_trim, "the text without blanks, or chars, at its ends",
     "[{{ '  a b ' | trim }}] {{ '--x-' | trim('-') }}", "[a b] x"},
    {"replace", "old* new* count", FILTER_PLAIN, filter_replace,
     "the text with every old, or the first count of them, as new",
     "{{ 'a-b-c' | replace('-', '+') }} {{ 'aaa' | replace('a', 'b', 2) }}", "a+b+c bba"},
    {"split", "separator maxsplit", FILTER_PLAIN, filter_split,
     "the parts of the text between separators, or between blanks",
     "{{ 'a,b,c' | split(',') | last }} {{ ' x  y ' | split | length }}", "c 2"},
    {"truncate", "length killwords end leeway", FILTER_PLAIN, filter_truncate,
     "the text cut to length (255) characters at a word's end, with end (\"...\") behind it, if it is more than leeway "
     "(5) longer",
     "{{ 'the quick brown fox' | truncate(10) }}", "the..."},
    {"indent", "width first blank", FILTER_PLAIN, filter_indent,
     "the text with width (4) blanks, or the text width, before each line but the first, also the first, also blank "
     "ones",
     "{{ 'a\\nb' | indent(2) }}", "a\n  b"},
    {"string", "", FILTER_PLAIN, filter_string, "the value as text", "{{ (5 | string) + 'x' }}", "5x"},
    {"regex_replace", "pattern* replacement", FILTER_PATTERN, filter_regex_replace,
     "the text with every match of the pattern (PCRE, written out) replaced; \\\\1 is its first group",
     "{{ 'v1.22' | regex_replace('([0-9]+)', '<\\\\1>') }}", "v<1>.<22>"},
    {"regex_search", "pattern* group", FILTER_PATTERN, filter_regex_search,
     "what the pattern matches first, or one of its groups; null if nothing",
     "{{ 'build 42 ok' | regex_search('build ([0-9]+)', 1) }}", "42"},
    {"first", "", FILTER_PLAIN, filter_first, "the first element or character", "{{ [1, 2] | first }}", "1"},
    {"last", "", FILTER_PLAIN, filter_last, "the last element or character", "{{ [1, 2] | last }}", "2"},
    {"length", "", FILTER_PLAIN, filter_length, "how many characters, elements or members; also written count",
     "{{ 'é!' | length }} {{ [1, 2, 3] | length }}", "2 3"},
    {"count", "", FILTER_PLAIN, filter_length, "the same as length", "{{ [] | count }}", "0"},
    {"list", "", FILTER_PLAIN, filter_list, "the array itself, the names of an object, the characters of a text",
     "{{ 'abc' | list | last }}", "c"},
    {"join", "d attribute", FILTER_PLAIN, filter_join,
     "the elements, or their attribute, as one text with d between them",
     "{{ [1, 2, 'x'] | join(', ') }} {{ [{'n': 'a'}, {'n': 'b'}] | join('+', attribute='n') }}", "1, 2, x a+b"},
    {"sort", "reverse case_sensitive attribute", FILTER_PLAIN, filter_sort, "the array in order",
     "{{ ['b', 'A', 'c'] | sort | join }} {{ [1, 3, 2] | sort(reverse=true) | join }}", "Abc 321"},
    {"unique", "case_sensitive attribute", FILTER_PLAIN, filter_unique, "the array without what it has before",
     "{{ ['a', 'A', 'b', 'a'] | unique | join }}", "ab"},
    {"reverse", "", FILTER_PLAIN, filter_reverse, "the array or text backwards", "{{ [1, 2, 3] | reverse | join }}",
     "321"},
    {"map", "filter argument argument2 attribute", FILTER_MAP, filter_map,
     "each element through a filter, or its attribute",
     "{{ ['a', 'b'] | map('upper') | join }} {{ [{'n': 1}, {'n': 2}] | map(attribute='n') | join }}", "AB 12"},
    {"select", "test value", FILTER_SELECT, filter_select, "the elements that pass a test, or are true",
     "{{ [1, 2, 3, 4] | select('even') | join }} {{ [0, 5] | select | join }}", "24 5"},
    {"reject", "test value", FILTER_SELECT, filter_reject, "the elements that do not",
     "{{ [1, 2, 3] | reject('gt', 2) | join }}", "12"},
    {"selectattr", "attribute* test value", FILTER_ATTRIBUTE_SELECT, filter_selectattr,
     "the elements whose attribute passes a test, or is true",
     "{{ [{'n': 1, 'on': true}, {'n': 2, 'on': false}] | selectattr('on') | join(attribute='n') }}", "1"},
    {"rejectattr", "attribute* test value", FILTER_ATTRIBUTE_SELECT, filter_rejectattr,
     "the elements whose attribute does not",
     "{{ [{'s': 'a'}, {'s': 'b'}] | rejectattr('s', 'eq', 'a') | join(attribute='s') }}", "b"},
    {"sum", "attribute start", FILTER_PLAIN, filter_sum, "the sum of the elements, or of their attribute, and start",
     "{{ [1, 2, 3.5] | sum }}", "6.5"},
    {"min", "case_sensitive attribute", FILTER_PLAIN, filter_min, "the smallest element", "{{ [3, 1, 2] | min }}", "1"},
    {"max", "case_sensitive attribute", FILTER_PLAIN, filter_max, "the largest element", "{{ [3, 1, 2] | max }}", "3"},
    {"items", "", FILTER_PLAIN, filter_items, "pairs of name and value of an object",
     "{% for k, v in {'a': 1, 'b': 2} | items %}{{ k }}={{ v }};{% endfor %}", "a=1;b=2;"},
    {"dictsort", "case_sensitive by reverse", FILTER_PLAIN, filter_dictsort,
     "the same, in order of the names, or by \"value\"",
     "{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}={{ v }};{% endfor %}", "a=2;b=1;"},
    {"round", "precision method", FILTER_PLAIN, filter_round,
     "the number rounded to precision (0) digits; method is \"common\", \"ceil\" or \"floor\"",
     "{{ 3.14159 | round(2) }} {{ 2.1 | round(method='ceil') | int }}", "3.14 3"},
    {"int", "default base", FILTER_PLAIN, filter_int, "the value as an integer; default (0) where it is none",
     "{{ ' 42 ' | int }} {{ '3.9' | int }} {{ 'x' | int(7) }} {{ 'ff' | int(0, 16) }}", "42 3 7 255"},
    {"float", "default", FILTER_PLAIN, filter_float, "the value as a number; default (0.0) where it is none",
     "{{ '1.5' | float }} {{ 2 | float }}", "1.5 2.0"},
    {"abs", "", FILTER_PLAIN, filter_abs, "the number without its sign", "{{ -5 | abs }}", "5"},
    {"bool", "", FILTER_PLAIN, filter_bool, "true for true, 1, yes, on; false for false, 0, no, off",
     "{{ 'yes' | bool }} {{ 0 | bool }}", "true false"},
    {"tojson", "indent", FILTER_PLAIN, filter_tojson, "the value as JSON; compact, unless indent is given",
     "{{ {'a': [1, 'x']} | tojson }}", "{\"a\":[1,\"x\"]}"},
    {"fromjson", "", FILTER_PLAIN, filter_fromjson, "the value that a JSON text means",
     "{{ ('{\"a\": [7]}' | fromjson).a[0] }}", "7"},
    {"urlencode", "", FILTER_PLAIN, filter_urlencode,
     "the text percent-encoded, but for slashes; an object as a query. Places of a URL do it by themselves",
     "{{ 'a b/c' | urlencode }} {{ {'q': 'x y', 'n': 1} | urlencode }}", "a%20b/c q=x+y&n=1"},
    {"b64encode", "", FILTER_PLAIN, filter_b64encode, "the text in base64", "{{ 'user:pass' | b64encode }}",
     "dXNlcjpwYXNz"},
    {"b64decode", "", FILTER_PLAIN, filter_b64decode, "the text that base64 means", "{{ 'aGk=' | b64decode }}", "hi"},
    {"sha256", "", FILTER_PLAIN, filter_sha256, "the digest, in hexadecimal digits",
     "{{ 'abc' | sha256 | truncate(8, true, '') }}", "ba7816bf"},
    {"hmac_sha256", "key* form", FILTER_PLAIN, filter_hmac_sha256, "the signature, as \"hex\" or \"base64\"",
     "{{ 'body' | hmac_sha256('key', 'base64') }}", "UVquEztDXUAAlWcx9orlz164XU8NxqVG0r/NNZXsGuE="},
    {"format_time", "format", FILTER_PLAIN, filter_format_time,
     "a time (RFC 3339, or seconds since 1970) in UTC, by the format of strftime",
     "{{ '2026-03-01T12:30:00+02:00' | format_time('%Y/%m/%d %H:%M') }} {{ 0 | format_time }}",
     "2026/03/01 10:30 1970-01-01T00:00:00Z"},
    {"to_seconds", "", FILTER_PLAIN, filter_to_seconds, "the seconds of a duration", "{{ '1h30m' | to_seconds }}",
     "5400"},
    {"jsonpath", "path*", FILTER_JSONPATH, filter_jsonpath,
     "what the JSONPath (written out) leads to; a list, unless it can lead to one value only",
     "{{ {'a': [{'n': 1}, {'n': 2}]} | jsonpath('$.a[*].n') | join }} {{ {'a': 5} | jsonpath('$.a') }}", "12 5"},
    {"segments", "", FILTER_PLACE, filter_keep,
     "at the end of an expression in a URL's path: slashes in the value stay slashes", NULL, NULL},
    {"safe", "", FILTER_PLACE, filter_keep, "at the end of an expression in XML text, or in plain text: not escaped",
     "{{ '<b>' | safe }}", "<b>"},
};
const size_t filter_table_count = sizeof filter_table / sizeof *filter_table;

const struct filter_test filter_test_table[] = {
    {"defined", "", FILTER_PLAIN, filter_is_defined, "whether there is such a value", "{{ nope.x is defined }}",
     "false"},
    {"undefined", "", FILTER_PLAIN, filter_is_undefined, "whether there is none", "{{ nope.x is undefined }}", "true"},
    {"none", "", FILTER_PLAIN, filter_is_none, "null", "{{ none is none }}", "true"},
    {"string", "", FILTER_PLAIN, filter_is_string, "text", "{{ 'a' is string }}", "true"},
    {"number", "", FILTER_PLAIN, filter_is_number, "an integer or another number", "{{ 1.5 is number }}", "true"},
    {"integer", "", FILTER_PLAIN, filter_is_integer, "an integer", "{{ 1.5 is integer }}", "false"},
    {"float", "", FILTER_PLAIN, filter_is_float, "a number that is no integer", "{{ 1.5 is float }}", "true"},
    {"boolean", "", FILTER_PLAIN, filter_is_boolean, "true or false", "{{ 0 is boolean }}", "false"},
    {"true", "", FILTER_PLAIN, filter_is_yes, "true itself", "{{ (1 < 2) is true }}", "true"},
    {"false", "", FILTER_PLAIN, filter_is_no, "false itself", "{{ 0 is false }}", "false"},
    {"mapping", "", FILTER_PLAIN, filter_is_mapping, "an object", "{{ {} is mapping }}", "true"},
    {"sequence", "", FILTER_PLAIN, filter_is_sequence, "an array, an object or text", "{{ [] is sequence }}", "true"},
    {"iterable", "", FILTER_PLAIN, filter_is_sequence, "the same", "{{ 5 is iterable }}", "false"},
    {"odd", "", FILTER_PLAIN, filter_is_odd, "an odd number", "{{ 3 is odd }}", "true"},
    {"even", "", FILTER_PLAIN, filter_is_even, "an even number", "{{ 3 is even }}", "false"},
    {"divisibleby", "by*", FILTER_PLAIN, filter_is_divisibleby, "a multiple of by", "{{ 9 is divisibleby 3 }}", "true"},
    {"in", "values*", FILTER_PLAIN, filter_is_in, "an element, a member's name, a part of the text",
     "{{ 'a' is in ['a', 'b'] }}", "true"},
    {"match", "pattern*", FILTER_PATTERN, filter_is_match,
     "text that the pattern (PCRE, written out) matches from its start", "{{ 'v1.2' is match 'v[0-9]' }}", "true"},
    {"search", "pattern*", FILTER_PATTERN, filter_is_search, "text in which the pattern matches",
     "{{ 'abc' is search 'c$' }}", "true"},
    {"eq", "other*", FILTER_PLAIN, filter_is_eq,
     "equal; also equalto, ==", "{{ [1, 2, 1] | select('eq', 1) | length }}", "2"},
    {"equalto", "other*", FILTER_PLAIN, filter_is_eq, "the same as eq", "{{ 1 is equalto 1.0 }}", "true"},
    {"==", "other*", FILTER_PLAIN, filter_is_eq, "the same as eq", "{{ [1, 2] | select('==', 2) | join }}", "2"},
    {"ne", "other*", FILTER_PLAIN, filter_is_ne, "not equal; also !=", "{{ 1 is ne 2 }}", "true"},
    {"!=", "other*", FILTER_PLAIN, filter_is_ne, "the same as ne", "{{ [1, 2] | select('!=', 2) | join }}", "1"},
    {"lt", "other*", FILTER_PLAIN, filter_is_lt, "less; also lessthan, <", "{{ [1, 5] | select('lt', 3) | join }}",
     "1"},
    {"lessthan", "other*", FILTER_PLAIN, filter_is_lt, "the same as lt", "{{ 1 is lessthan 2 }}", "true"},
    {"<", "other*", FILTER_PLAIN, filter_is_lt, "the same as lt", "{{ [1, 5] | select('<', 3) | join }}", "1"},
    {"le", "other*", FILTER_PLAIN, filter_is_le, "less or equal; also <=", "{{ 2 is le 2 }}", "true"},
    {"<=", "other*", FILTER_PLAIN, filter_is_le, "the same as le", "{{ [1, 5] | select('<=', 5) | join }}", "15"},
    {"gt", "other*", FILTER_PLAIN, filter_is_gt, "greater; also greaterthan, >",
     "{{ [1, 5] | select('gt', 3) | join }}", "5"},
    {"greaterthan", "other*", FILTER_PLAIN, filter_is_gt, "the same as gt", "{{ 1 is greaterthan 2 }}", "false"},
    {">", "other*", FILTER_PLAIN, filter_is_gt, "the same as gt", "{{ [1, 5] | select('>', 3) | join }}", "5"},
    {"ge", "other*", FILTER_PLAIN, filter_is_ge, "greater or equal; also >=", "{{ 2 is ge 3 }}", "false"},
    {">=", "other*", FILTER_PLAIN, filter_is_ge, "the same as ge", "{{ [1, 5] | select('>=', 5) | join }}", "5"},
    {"lower", "", FILTER_PLAIN, filter_is_lower, "text in small letters", "{{ 'abc' is lower }}", "true"},
    {"upper", "", FILTER_PLAIN, filter_is_upper, "text in capitals", "{{ 'Abc' is upper }}", "false"},
};
const size_t filter_test_table_count = sizeof filter_test_table / sizeof *filter_test_table;

const struct filter *filter_find(struct text name) {
    for (size_t i = 1; i < filter_table_count; i++) /* not default */
        if (text_is(name, filter_table[i].name)) return &filter_table[i];
    return NULL;
}

const struct filter_test *filter_test_find(struct text name) {
    for (size_t i = 0; i < filter_test_table_count; i++)
        if (text_is(name, filter_test_table[i].name)) return &filter_test_table[i];
    return NULL;
}

static const char *nearest(struct text name, const char *const *names, size_t count) {
    char word[64] = "";
    if (name.len >= sizeof word) return NULL;
    memcpy(word, name.at, name.len);
    return text_nearest(word, names, count);
}

const char *filter_nearest(struct text name) {
    const char *names[sizeof filter_table / sizeof *filter_table];
    for (size_t i = 0; i < filter_table_count; i++) names[i] = filter_table[i].name;
    return nearest(name, names, filter_table_count);
}

const char *filter_test_nearest(struct text name) {
    const char *names[sizeof filter_test_table / sizeof *filter_test_table];
    size_t count = 0;
    for (size_t i = 0; i < filter_test_table_count; i++)
        if (filter_test_table[i].name[0] >= 'a') names[count++] = filter_test_table[i].name;
    return nearest(name, names, count);
}

/* ---- the names of arguments ---- */

static bool next_name(struct text *rest, struct text *ret, bool *ret_must) {
    if (!text_cut(rest, ' ', ret) || ret->len == 0) return false;
    *ret_must = ret->at[ret->len - 1] == '*';
    ret->len -= *ret_must;
    return true;
}

size_t filter_argument_count(const char *names, size_t *ret_least) {
    struct text rest = text_of(names), name;
    size_t count = 0;
    bool must;
    *ret_least = 0;
    for (; next_name(&rest, &name, &must); count++) *ret_least += must;
    return count;
}

size_t filter_argument_index(const char *names, struct text word) {
    struct text rest = text_of(names), name;
    bool must;
    for (size_t i = 0; next_name(&rest, &name, &must); i++)
        if (text_same(name, word)) return i;
    return SIZE_MAX;
}

/* ---- what filters share ---- */

bool filter_fault(const struct filter_call *call, enum fault_kind kind, const char *format, ...) {
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return expr_fault(call->run, call->expr, kind, call->fault, "%s: %s", call->name, what);
}

bool filter_wrong_kind(const struct filter_call *call, struct value value, const char *wanted) {
    struct text source = call->expr->a->source;
    return expr_fault(call->run, call->expr, FAULT_INVALID, call->fault, "%s takes %s, but %.*s is of type %s",
                      call->name, wanted, (int)(source.len < 100 ? source.len : 100), source.at,
                      json_kind_word(value.kind));
}

bool filter_made(const struct filter_call *call, struct buf *out, struct value *ret) {
    return expr_made(call->run, call->expr, out, ret, call->fault);
}

bool filter_flag(const struct filter_call *call, size_t argument, bool otherwise) {
    return call->arguments[argument] ? value_truth(*call->arguments[argument]) : otherwise;
}

bool filter_text_argument(const struct filter_call *call, size_t argument, const char *otherwise, struct text *ret) {
    const struct value *given = call->arguments[argument];
    *ret = given ? given->text : text_of(otherwise);
    if (!given || given->kind == JSON_STRING) return true;
    return filter_fault(call, FAULT_INVALID, "its argument %zu has to be text, not %s", argument + 1,
                        json_kind_word(given->kind));
}

bool filter_int_argument(const struct filter_call *call, size_t argument, int64_t otherwise, int64_t *ret) {
    const struct value *given = call->arguments[argument];
    *ret = given ? given->integer : otherwise;
    if (!given || given->kind == JSON_INT) return true;
    return filter_fault(call, FAULT_INVALID, "its argument %zu has to be an integer, not %s", argument + 1,
                        json_kind_word(given->kind));
}

struct value filter_attribute(struct value value, struct text path) {
    struct text rest = path, name;
    int64_t index;
    while (!value.absent && text_cut(&rest, '.', &name))
        value = value.kind != JSON_OBJECT && text_to_int(name, &index) ? expr_element(value, index)
                                                                       : expr_member(value, name);
    return value;
}
