/* The places of a template: where in a JSON text, URL or XML text something stands, and how a value is written there.
 */
#ifndef LANG_PLACE_H
#define LANG_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "lang/template.h"
#include "lang/value.h"

enum escape {
    ESCAPE_NONE,
    ESCAPE_JSON_TEXT,  /* inside quotes */
    ESCAPE_JSON_VALUE, /* bare; up to this one an integer stands as it is */
    ESCAPE_SEGMENT,    /* in a URL's path: never empty, never . or .. */
    ESCAPE_SEGMENTS,   /* the same for each part between slashes */
    ESCAPE_QUERY,      /* in a URL's query or fragment */
    ESCAPE_WHOLE_URL,
    ESCAPE_HEADER,
    ESCAPE_FORM,
    ESCAPE_XML_TEXT,
    ESCAPE_XML_ATTRIBUTE
};

#define PLACE_DEPTH_MAX 64 /* arrays and objects inside each other that a template writes out */

/* A small state machine over the literal text and the holes; plain data, so that branches can be compared. */
struct place {
    enum template_place kind;
    enum {
        PLACE_ITEM,   /* JSON: a value, or a member's name, or the end of what is empty or has a comma too many */
        PLACE_AFTER,  /* behind one: a comma, or the end */
        PLACE_EITHER, /* behind branches: one of the two */
        PLACE_COLON,
        PLACE_VALUE, /* behind the colon */
        PLACE_STRING
    } state;
    bool in_name; /* PLACE_STRING: of a member */
    unsigned depth;
    uint32_t
        open[PLACE_DEPTH_MAX]; /* the number of the array or object, and whether it is an object in the lowest bit */
    enum { URL_SCHEME, URL_HOST, URL_PATH, URL_QUERY, URL_FRAGMENT } part;
    unsigned slashes;
    enum { XML_TEXT, XML_TAG, XML_ATTRIBUTE, XML_COMMENT, XML_DATA } xml;
    char quote;
};

/* What has to be done with a comma, at render, where branches left it open whether there is one. */
enum place_fix {
    PLACE_KEEP,
    PLACE_END,  /* before the text: takes a comma away that stands last */
    PLACE_NEED, /* before the text or value: puts a comma if none stands last */
    PLACE_COMMA /* the text's first comma is dropped if one stands last, or nothing is before it */
};

/* One literal, or one hole, and what became of it. */
struct place_step {
    enum place_fix fix;
    size_t comma;    /* PLACE_COMMA: its offset in the fixed text */
    const char *why; /* a mistake, or NULL */
    size_t at;       /* its offset in the literal */
};

/* Each member's name that is written out whole, with the number of its object; one in parts, with {NULL, 0}. */
struct place_names {
    void (*name)(void *arg, uint32_t object, struct text name);
    void *arg;
    uint32_t count; /* arrays and objects numbered so far */
};

void place_feed(struct place *place, struct text literal, struct buf *fixed, struct place_names *names,
                struct place_step *ret);
/* How an expression at this point is escaped; the place moves behind it. NULL, or why none may stand here. */
const char *place_hole(struct place *place, enum escape *ret, enum place_fix *ret_fix);
const char *place_finish(const struct place *place); /* NULL, or why the text may not end here */

/* For branches: makes `place` what may be after either; false if the two are different places. */
bool place_merge(struct place *place, const struct place *other);
void place_repeat(struct place *place);                       /* the beginning of what may be repeated */
void place_words(const struct place *place, struct buf *out); /* "inside a text of the JSON" */

/* Appends the value. NULL, or why the place refuses it, as the end of the sentence "x …". */
const char *place_put(struct buf *out, enum escape escape, const struct value *value);
bool place_comma_wanted(const struct buf *out, size_t start); /* whether what was written last is a JSON value */
/* Whether a path segment of the URL is . or .., which servers and proxies take away. For what a template has written
 * out: values that could make one are refused by place_put. */
bool place_has_dots(struct text url);

#endif
