/* Places: what makes escaping automatic.
 *
 * The state machine runs over the literal text of a template when it is compiled, and says for each expression where it
 * stands; nothing of this is left for rendering but one number per expression. It need not understand rubbish: the
 * compiler renders each template once with stand-ins and has the result parsed, so text that is no JSON or no URL is
 * refused there.
 *
 * No value can leave its place: inside quotes it cannot close them, in a URL it cannot begin another segment, the query
 * or a host, in a header it cannot end the line. */
#include "lang/place.h"

#include <string.h>

#include "lang/url.h"

static void feed_json(struct place *place, char c) {
    if (place->after_backslash) place->after_backslash = false;
    else if (c == '"') place->in_string = !place->in_string;
    else if (c == '\\' && place->in_string) place->after_backslash = true;
}

static void feed_url(struct place *place, char c) {
    place->slashes = c == '/' ? place->slashes + 1 : 0;
    if (place->part == URL_SCHEME) {
        if (place->slashes == 2) place->part = URL_HOST;
    } else if (c == '#') place->part = URL_FRAGMENT;
    else if (c == '?' && place->part < URL_QUERY) place->part = URL_QUERY;
    else if (c == '/' && place->part == URL_HOST) place->part = URL_PATH;
}

void place_feed(struct place *place, struct text literal) {
    for (size_t i = 0; i < literal.len; i++) {
        if (place->kind == PLACE_JSON) feed_json(place, literal.at[i]);
        else if (place->kind == PLACE_URL) feed_url(place, literal.at[i]);
    }
}

static const char *escape_in_url(const struct place *place, enum escape *ret) {
    if (place->part <= URL_HOST)
        return "scheme, host and port of a URL have to be written out; only path and query may hold expressions";
    *ret = place->part == URL_PATH ? ESCAPE_SEGMENT : ESCAPE_QUERY;
    return NULL;
}

const char *place_escape(const struct place *place, enum escape *ret) {
    switch (place->kind) {
    case PLACE_TEXT: *ret = ESCAPE_NONE; return NULL;
    case PLACE_HEADER: *ret = ESCAPE_HEADER; return NULL;
    case PLACE_FORM: *ret = ESCAPE_FORM; return NULL;
    case PLACE_URL: return escape_in_url(place, ret);
    case PLACE_JSON:
        if (place->after_backslash) return "an expression may not stand right behind a backslash";
        *ret = place->in_string ? ESCAPE_JSON_TEXT : ESCAPE_JSON_VALUE;
        return NULL;
    }
    return "this place takes no expressions";
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
        if ((unsigned char)t.at[i] < 0x20 || t.at[i] == 0x7F) return true;
    return false;
}

static const char *put_text(struct buf *out, enum escape escape, struct text t) {
    switch (escape) {
    case ESCAPE_JSON_TEXT: buf_add_json_inner(out, t); return NULL;
    case ESCAPE_SEGMENT: return put_segment(out, t);
    case ESCAPE_SEGMENTS: return put_segments(out, t);
    case ESCAPE_QUERY:
    case ESCAPE_FORM: url_encode(out, t); return NULL;
    case ESCAPE_HEADER:
        if (has_controls(t)) return "holds a control character, which a header cannot";
        break;
    case ESCAPE_WHOLE_URL:
        if (t.len == 0) return "is empty, and no URL";
        if (has_controls(t) || memchr(t.at, ' ', t.len)) return "holds a blank or control character, and is no URL";
        break;
    case ESCAPE_NONE:
    case ESCAPE_JSON_VALUE: break;
    }
    buf_addt(out, t);
    return NULL;
}

static const char *put_made_text(struct buf *out, enum escape escape, const struct json *value) {
    struct buf text;
    buf_init(&text, out->max);
    json_write(&text, value);
    const char *why = put_text(out, escape, buf_text(&text));
    if (text.full) out->full = true;
    buf_fini(&text);
    return why;
}

const char *place_put(struct buf *out, enum escape escape, const struct json *value) {
    enum json_kind kind = json_kind(value);
    if (escape == ESCAPE_JSON_VALUE || (escape == ESCAPE_NONE && kind != JSON_STRING)) {
        json_write(out, value);
        return NULL;
    }
    if (kind == JSON_STRING) return put_text(out, escape, json_text(value));
    if (escape == ESCAPE_WHOLE_URL) return "is no text, and no URL";
    bool nested = kind == JSON_ARRAY || kind == JSON_OBJECT;
    if (nested && (escape == ESCAPE_SEGMENT || escape == ESCAPE_SEGMENTS))
        return "is an array or object, which a URL's path cannot hold";
    if (nested) return put_made_text(out, escape, value);
    if (escape == ESCAPE_JSON_TEXT || escape == ESCAPE_HEADER) json_write(out, value); /* digits, true, false */
    else return put_made_text(out, escape, value);                                     /* 1e+20 has a plus to encode */
    return NULL;
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
