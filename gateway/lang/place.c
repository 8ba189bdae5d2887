/* Places: what makes escaping automatic, and a JSON body valid.
 *
 * The state machine runs over the text and holes of a template when it is compiled, and says for each hole where it
 * stands. For JSON it is a whole grammar: text that could not be part of a JSON text is a mistake, so what a template
 * makes is valid on every way through its branches. Only commas are let off: where a branch or a loop leaves open
 * whether one is there, a mark says what rendering has to look at, which is the last byte that was written.
 *
 * No value can leave its place: inside quotes it cannot close them, in a URL it cannot begin another segment, the query
 * or a host, in a header it cannot end the line, in XML it cannot begin a tag. */
#include "lang/place.h"

#include <string.h>

#include "lang/json_token.h"
#include "lang/lex.h"
#include "lang/url.h"

/* ---- JSON ---- */

struct feed {
    struct place *place;
    struct text t;
    size_t at;
    struct buf *fixed;
    struct place_names *names;
    struct place_step *step;
    bool first;        /* nothing but blanks so far */
    size_t comma;      /* in the fixed text: the one that stands last, or SIZE_MAX */
    size_t name_start; /* in the literal, behind its quote; SIZE_MAX: it began before this literal */
};

static bool wrong(struct feed *f, const char *why) {
    f->step->why = why;
    f->step->at = f->at;
    return false;
}

static bool in_object(const struct place *place) {
    return place->depth && (place->open[place->depth - 1] & 1);
}

static bool expects_item(const struct place *place) {
    return place->state == PLACE_ITEM || place->state == PLACE_VALUE || place->state == PLACE_EITHER;
}

static void end_value(struct place *place) {
    place->state = PLACE_AFTER;
}

/* A value or name begins here. */
static const char *begin_item(struct place *place, enum place_fix *fix) {
    if (place->state == PLACE_EITHER) *fix = PLACE_NEED;
    if (expects_item(place)) return NULL;
    if (place->state == PLACE_COLON) return "the template makes no JSON: expected : behind the name";
    return place->depth ? "the template makes no JSON: expected a comma or the closing bracket here"
                        : "the template makes no JSON: something follows the end of the value";
}

static bool feed_open(struct feed *f, bool object) {
    struct place *place = f->place;
    const char *why = begin_item(place, &f->step->fix);
    if (why) return wrong(f, why);
    if (in_object(place) && place->state != PLACE_VALUE)
        return wrong(f, "the template makes no JSON: a member of an object begins with its name in quotes");
    if (place->depth == PLACE_DEPTH_MAX) return wrong(f, "the JSON is nested deeper than 64 levels");
    place->open[place->depth++] = ++f->names->count << 1 | object;
    place->state = PLACE_ITEM;
    return true;
}

static bool feed_close(struct feed *f, bool object) {
    struct place *place = f->place;
    if (!place->depth || in_object(place) != object)
        return wrong(f, "the template makes no JSON: this bracket closes nothing");
    if (place->state == PLACE_COLON || place->state == PLACE_VALUE)
        return wrong(f, "the template makes no JSON: this member has no value");
    if (f->comma != SIZE_MAX) { /* written in this literal: dropped here and now */
        if (f->step->fix == PLACE_COMMA && f->step->comma == f->comma) f->step->fix = PLACE_END;
        f->fixed->len = f->comma;
    } else if (f->first && place->state != PLACE_AFTER) {
        f->step->fix = PLACE_END;
    }
    place->depth--;
    end_value(place);
    return true;
}

static bool feed_comma(struct feed *f) {
    struct place *place = f->place;
    if (place->depth && place->state == PLACE_EITHER) {
        f->step->fix = PLACE_COMMA;
        f->step->comma = f->fixed->len;
    } else if (!place->depth || place->state != PLACE_AFTER) {
        return wrong(f, "the template makes no JSON: a comma with no value before it");
    }
    place->state = PLACE_ITEM;
    return true;
}

/* At a backslash inside a string; goes to the last byte of the escape. */
static bool feed_escape(struct feed *f) {
    const char *at = f->t.at + f->at, *end = f->t.at + f->t.len;
    uint32_t character;
    switch (json_token_escape(&at, end, &character)) {
    case JSON_TOKEN_GOOD: f->at = (size_t)(at - f->t.at) - 1; return true;
    case JSON_TOKEN_CUT: return wrong(f, "an expression may not stand right behind a backslash");
    case JSON_TOKEN_UNKNOWN: return wrong(f, "the template makes no JSON: there is no such escape in a string");
    default: return wrong(f, "the template makes no JSON: \\u with no character behind it");
    }
}

static bool feed_string(struct feed *f) {
    struct place *place = f->place;
    char c = f->t.at[f->at];
    if ((unsigned char)c < 0x20)
        return wrong(f, "the template makes no JSON: a line break or control character inside a string; write \\n");
    if (c == '\\') return feed_escape(f);
    if (c != '"') return true;
    bool whole = f->name_start != SIZE_MAX; /* else it is in parts, with a hole or a statement between them */
    if (place->in_name)
        f->names->name(f->names->arg, place->open[place->depth - 1],
                       whole ? (struct text){f->t.at + f->name_start, f->at - f->name_start} : (struct text){0});
    f->name_start = SIZE_MAX;
    place->state = place->in_name ? PLACE_COLON : PLACE_AFTER;
    return true;
}

static bool feed_quote(struct feed *f) {
    struct place *place = f->place;
    const char *why = begin_item(place, &f->step->fix);
    if (why) return wrong(f, why);
    place->in_name = in_object(place) && place->state != PLACE_VALUE;
    place->state = PLACE_STRING;
    f->name_start = place->in_name ? f->at + 1 : SIZE_MAX;
    return true;
}

static bool is_bare_value(struct text token) {
    static const struct json_limits limits = {.max_bytes = 1000, .max_depth = 1, .max_items = 1};
    struct arena *arena = arena_new();
    bool good = json_parse(arena, token, &limits, NULL) != NULL;
    arena_free(arena);
    return good;
}

static bool feed_bare(struct feed *f) {
    struct place *place = f->place;
    size_t end = f->at;
    const char *why = begin_item(place, &f->step->fix);
    if (why) return wrong(f, why);
    if (in_object(place) && place->state != PLACE_VALUE)
        return wrong(f, "the template makes no JSON: a member of an object begins with its name in quotes");
    while (end < f->t.len && !strchr(" \t\r\n,:[]{}\"", f->t.at[end])) end++;
    if (!is_bare_value((struct text){f->t.at + f->at, end - f->at}))
        return wrong(f, "the template makes no JSON: this is no number, true, false or null; text needs quotes");
    f->at = end - 1;
    end_value(place);
    return true;
}

static bool feed_structure(struct feed *f) {
    switch (f->t.at[f->at]) {
    case ' ':
    case '\t':
    case '\r':
    case '\n': return true;
    case '[':
    case '{': return feed_open(f, f->t.at[f->at] == '{');
    case ']':
    case '}': return feed_close(f, f->t.at[f->at] == '}');
    case ',': return feed_comma(f);
    case '"': return feed_quote(f);
    case ':':
        if (f->place->state != PLACE_COLON)
            return wrong(f, "the template makes no JSON: a colon with no name before it");
        f->place->state = PLACE_VALUE;
        return true;
    default: return feed_bare(f);
    }
}

static void feed_json(struct feed *f) {
    while (f->at < f->t.len) {
        size_t start = f->at;
        char c = f->t.at[start];
        bool quoted = f->place->state == PLACE_STRING, blank = !quoted && lex_is_blank(c);
        if (!(quoted ? feed_string(f) : feed_structure(f))) return;
        if (!blank) {
            f->comma = !quoted && c == ',' ? f->fixed->len : SIZE_MAX;
            f->first = false;
        }
        f->at++;
        buf_add(f->fixed, f->t.at + start, f->at - start);
    }
}

/* ---- URL, XML ---- */

static void feed_url(struct place *place, char c) {
    place->slashes = c == '/' ? place->slashes + 1 : 0;
    if (place->part == URL_SCHEME) {
        if (place->slashes == 2) place->part = URL_HOST;
    } else if (c == '#') place->part = URL_FRAGMENT;
    else if (c == '?' && place->part < URL_QUERY) place->part = URL_QUERY;
    else if (c == '/' && place->part == URL_HOST) place->part = URL_PATH;
}

static void feed_xml(struct place *place, struct text rest, char before2, char before) {
    char c = rest.at[0];
    switch (place->xml) {
    case XML_TEXT:
        if (text_starts(rest, "<!--")) place->xml = XML_COMMENT;
        else if (text_starts(rest, "<![CDATA[")) place->xml = XML_DATA;
        else if (c == '<') place->xml = XML_TAG;
        break;
    case XML_TAG:
        if (c == '>') place->xml = XML_TEXT;
        if (c != '"' && c != '\'') break;
        place->xml = XML_ATTRIBUTE;
        place->quote = c;
        break;
    case XML_ATTRIBUTE:
        if (c == place->quote) place->xml = XML_TAG;
        break;
    case XML_COMMENT:
        if (c == '>' && before == '-' && before2 == '-') place->xml = XML_TEXT;
        break;
    case XML_DATA:
        if (c == '>' && before == ']' && before2 == ']') place->xml = XML_TEXT;
        break;
    }
}

static bool is_control(char c) {
    return (unsigned char)c < 0x20 || c == 0x7F;
}

static void feed_byte(struct feed *f) {
    struct text rest = {f->t.at + f->at, f->t.len - f->at};
    switch (f->place->kind) {
    case PLACE_URL: feed_url(f->place, rest.at[0]); break;
    case PLACE_XML: feed_xml(f->place, rest, f->at > 1 ? rest.at[-2] : 0, f->at > 0 ? rest.at[-1] : 0); break;
    case PLACE_HEADER:
        if (is_control(rest.at[0])) wrong(f, "a header's value cannot hold control characters");
        break;
    default: break;
    }
}

void place_feed(struct place *place, struct text literal, struct buf *fixed, struct place_names *names,
                struct place_step *ret) {
    struct feed f = {place, literal, 0, fixed, names, ret, true, SIZE_MAX, SIZE_MAX};
    *ret = (struct place_step){.fix = PLACE_KEEP};
    if (place->kind == PLACE_JSON) {
        feed_json(&f);
        return;
    }
    for (; f.at < literal.len && !ret->why; f.at++) feed_byte(&f);
    buf_addt(fixed, literal);
}

/* ---- holes ---- */

static const char *hole_in_json(struct place *place, enum escape *ret, enum place_fix *fix) {
    if (place->state == PLACE_STRING) return *ret = ESCAPE_JSON_TEXT, NULL;
    const char *why = begin_item(place, fix);
    if (why) return why;
    if (in_object(place) && place->state != PLACE_VALUE)
        return "the template makes no JSON: a member's name needs quotes around it";
    end_value(place);
    *ret = ESCAPE_JSON_VALUE;
    return NULL;
}

static const char *hole_in_url(struct place *place, enum escape *ret) {
    if (place->part <= URL_HOST)
        return "scheme, host and port of a URL have to be written out; only path and query may hold expressions";
    place->slashes = 0;
    *ret = place->part == URL_PATH ? ESCAPE_SEGMENT : ESCAPE_QUERY;
    return NULL;
}

static const char *hole_in_xml(const struct place *place, enum escape *ret) {
    *ret = place->xml == XML_TEXT ? ESCAPE_XML_TEXT : ESCAPE_XML_ATTRIBUTE;
    switch (place->xml) {
    case XML_TEXT:
    case XML_ATTRIBUTE: return NULL;
    case XML_TAG: return "names of elements and attributes have to be written out; an attribute's value needs quotes";
    case XML_COMMENT:
    case XML_DATA: break;
    }
    return "an expression may not stand in a comment or CDATA section";
}

const char *place_hole(struct place *place, enum escape *ret, enum place_fix *ret_fix) {
    *ret_fix = PLACE_KEEP;
    switch (place->kind) {
    case PLACE_TEXT: *ret = ESCAPE_NONE; return NULL;
    case PLACE_HEADER: *ret = ESCAPE_HEADER; return NULL;
    case PLACE_FORM: *ret = ESCAPE_FORM; return NULL;
    case PLACE_URL: return hole_in_url(place, ret);
    case PLACE_XML: return hole_in_xml(place, ret);
    case PLACE_JSON: return hole_in_json(place, ret, ret_fix);
    }
    return "this place takes no expressions";
}

const char *place_finish(const struct place *place) {
    if (place->kind == PLACE_XML && place->xml != XML_TEXT) return "the XML ends inside a tag, comment or section";
    if (place->kind != PLACE_JSON || (place->depth == 0 && place->state == PLACE_AFTER)) return NULL;
    if (place->state == PLACE_STRING) return "the template makes no JSON: it ends inside a string";
    return place->depth ? "the template makes no JSON: it ends before its last bracket is closed"
                        : "the template makes no JSON: there is no value";
}

/* ---- branches ---- */

static bool is_loose(const struct place *place) {
    return place->depth && place->state <= PLACE_EITHER;
}

static bool merge_json(struct place *place, const struct place *other) {
    if (place->depth != other->depth || memcmp(place->open, other->open, place->depth * sizeof *place->open) != 0)
        return false;
    if (is_loose(place) && is_loose(other)) {
        if (place->state != other->state) place->state = PLACE_EITHER;
        return true;
    }
    return place->state == other->state && (place->state != PLACE_STRING || place->in_name == other->in_name);
}

bool place_merge(struct place *place, const struct place *other) {
    switch (place->kind) {
    case PLACE_JSON: return merge_json(place, other);
    case PLACE_URL:
        if (place->part != other->part) return false;
        return place->part != URL_SCHEME || place->slashes == other->slashes;
    case PLACE_XML: return place->xml == other->xml && (place->xml != XML_ATTRIBUTE || place->quote == other->quote);
    default: return true;
    }
}

void place_repeat(struct place *place) {
    if (place->kind == PLACE_JSON && is_loose(place)) place->state = PLACE_EITHER;
}

static const char *json_words(const struct place *place) {
    switch (place->state) {
    case PLACE_STRING: return place->in_name ? "inside a member's name" : "inside a string";
    case PLACE_COLON: return "between a name and its colon";
    case PLACE_VALUE: return "between a colon and its value";
    case PLACE_ITEM: return place->depth ? "before a value" : "before the body's value";
    case PLACE_AFTER: return place->depth ? "behind a value" : "behind the body's value";
    case PLACE_EITHER: break;
    }
    return "between values";
}

void place_words(const struct place *place, struct buf *out) {
    static const char *const parts[] = {"in the URL's scheme", "in the URL's host", "in the URL's path",
                                        "in the URL's query", "in the URL's fragment"};
    static const char *const xml[] = {"in text", "in a tag", "in an attribute", "in a comment", "in a CDATA section"};
    if (place->kind == PLACE_URL) buf_adds(out, parts[place->part]);
    else if (place->kind == PLACE_XML) buf_adds(out, xml[place->xml]);
    else if (place->kind == PLACE_JSON) {
        buf_adds(out, json_words(place));
        if (place->depth)
            buf_addf(out, ", in %u bracket%s%s", place->depth, place->depth == 1 ? "" : "s",
                     in_object(place) ? ", the last of an object" : ", the last of an array");
    }
}

/* ---- writing ---- */

static const char *put_segment(struct buf *out, struct text t) {
    if (t.len == 0) return "is empty, which a URL's path cannot hold";
    if (text_is(t, ".") || text_is(t, "..")) return "is . or .., which would change a URL's path";
    url_encode(out, t);
    return NULL;
}

static const char *put_segments(struct buf *out, struct text t) {
    const char *why = NULL, *separator = "";
    struct text rest = {t.at ? t.at : "", t.len}, segment;
    while (!why && text_cut(&rest, '/', &segment)) {
        buf_adds(out, separator);
        separator = "/";
        why = put_segment(out, segment);
    }
    return why;
}

static bool has_controls(struct text t) {
    for (size_t i = 0; i < t.len; i++)
        if (is_control(t.at[i])) return true;
    return false;
}

static const char *xml_entity(char c, bool attribute) {
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '\r': return "&#13;";
    case '"': return attribute ? "&quot;" : NULL;
    case '\'': return attribute ? "&#39;" : NULL;
    case '\n': return attribute ? "&#10;" : NULL;
    case '\t': return attribute ? "&#9;" : NULL;
    default: return NULL;
    }
}

static const char *put_xml(struct buf *out, struct text t, bool attribute) {
    size_t start = 0;
    for (size_t i = 0; i < t.len; i++) {
        const char *entity = xml_entity(t.at[i], attribute);
        if ((unsigned char)t.at[i] < 0x20 && !strchr("\t\r\n", t.at[i]))
            return "holds a control character, which XML cannot hold";
        if (t.len - i >= 3 && memcmp(t.at + i, "\xEF\xBF", 2) == 0 && (unsigned char)t.at[i + 2] >= 0xBE)
            return "holds U+FFFE or U+FFFF, which XML cannot hold";
        if (!entity) continue;
        buf_add(out, t.at + start, i - start);
        buf_adds(out, entity);
        start = i + 1;
    }
    if (t.len) buf_add(out, t.at + start, t.len - start);
    return NULL;
}

static const char *put_text(struct buf *out, enum escape escape, struct text t) {
    switch (escape) {
    case ESCAPE_JSON_TEXT: buf_add_json_inner(out, t); return NULL;
    case ESCAPE_SEGMENT: return put_segment(out, t);
    case ESCAPE_SEGMENTS: return put_segments(out, t);
    case ESCAPE_QUERY:
    case ESCAPE_FORM: url_encode(out, t); return NULL;
    case ESCAPE_XML_TEXT: return put_xml(out, t, false);
    case ESCAPE_XML_ATTRIBUTE: return put_xml(out, t, true);
    case ESCAPE_WHOLE_URL:
        if (t.len == 0) return "is empty, and no URL";
        if (has_controls(t) || memchr(t.at, ' ', t.len)) return "holds a blank or control character, and is no URL";
        break;
    case ESCAPE_HEADER:
        if (has_controls(t)) return "holds a control character, which a header cannot hold";
        break;
    case ESCAPE_NONE:
    case ESCAPE_JSON_VALUE: break;
    }
    buf_addt(out, t);
    return NULL;
}

static const char *put_nested(struct buf *out, enum escape escape, struct value value) {
    struct buf text;
    if (escape == ESCAPE_SEGMENT || escape == ESCAPE_SEGMENTS)
        return "is an array or object, which a URL's path cannot hold";
    buf_init(&text, out->max);
    value_write(&text, value);
    const char *why = put_text(out, escape, buf_text(&text));
    if (text.full) out->full = true;
    buf_fini(&text);
    return why;
}

const char *place_put(struct buf *out, enum escape escape, const struct value *value) {
    char room[VALUE_DIGITS];
    if (escape == ESCAPE_WHOLE_URL && value->kind != JSON_STRING) return "is no text, and no URL";
    if (escape == ESCAPE_JSON_VALUE || (escape == ESCAPE_NONE && value->kind != JSON_STRING)) {
        value_write(out, *value);
        return NULL;
    }
    if (value->kind != JSON_STRING && !value_is_scalar(*value)) return put_nested(out, escape, *value);
    return put_text(out, escape, value_scalar_text(*value, room));
}

bool place_comma_wanted(const struct buf *out, size_t start) {
    for (size_t at = out->len; at > start; at--) {
        char c = out->at[at - 1];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return c != ',' && c != '[' && c != '{';
    }
    return false;
}

bool place_has_dots(struct text url) {
    struct url parts;
    struct text rest, segment;
    if (!url_parse(url, &parts, NULL)) return false;
    rest = (struct text){parts.path.at, parts.path.len};
    while (text_cut(&rest, '/', &segment))
        if (text_is(segment, ".") || text_is(segment, "..")) return true;
    return false;
}
