/* The places of a template: where in a JSON text or a URL an expression stands, and how its value is written there. */
#ifndef LANG_PLACE_H
#define LANG_PLACE_H

#include <stdbool.h>

#include "base/text.h"
#include "lang/json.h"
#include "lang/template.h"

enum escape {
    ESCAPE_NONE,
    ESCAPE_JSON_TEXT,  /* inside quotes */
    ESCAPE_JSON_VALUE, /* bare */
    ESCAPE_SEGMENT,    /* in a URL's path: never empty, never . or .. */
    ESCAPE_SEGMENTS,   /* the same for each part between slashes */
    ESCAPE_QUERY,      /* in a URL's query or fragment */
    ESCAPE_WHOLE_URL,
    ESCAPE_HEADER,
    ESCAPE_FORM
};

/* A small state machine over the literal text. */
struct place {
    enum template_place kind;
    bool in_string, after_backslash;                                       /* JSON */
    enum { URL_SCHEME, URL_HOST, URL_PATH, URL_QUERY, URL_FRAGMENT } part; /* URL */
    unsigned slashes;
};

void place_feed(struct place *place, struct text literal);
/* How an expression at this point is escaped. NULL, or the reason why none may stand here. */
const char *place_escape(const struct place *place, enum escape *ret);
/* Appends the value. NULL, or why the place refuses it, as the end of the sentence "x …". */
const char *place_put(struct buf *out, enum escape escape, const struct json *value);
/* Whether a path segment of the URL is . or .., which servers and proxies take away. For what a template has written
 * out: values that could make one are refused by place_put. */
bool place_has_dots(struct text url);

#endif
