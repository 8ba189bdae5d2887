/* The settings that a definition knows, as tables: `check` takes its messages from them, compiling its values, and
 * docs/definitions.md its reference. */
#ifndef STAGE_FIELDS_H
#define STAGE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "config/conf_file.h"

/* id, what is expected, for sentences and the reference */
#define FIELD_TYPES(X)                                                           \
    X(STRING, "a string")                                                        \
    X(BOOL, "true or false, without quotes")                                     \
    X(COUNT, "a whole number, without quotes")                                   \
    X(NUMBER, "a number, without quotes")                                        \
    X(DURATION, "a duration such as \"5s\"")                                     \
    X(SIZE, "a size such as \"64KiB\"")                                          \
    X(CODES, "codes such as \"2xx,404\"")                                        \
    X(WORDS, "a list of words: [ \"…\", \"…\" ]")                                \
    X(PATH, "a JSONPath such as \"$.state\"")                                    \
    X(TEMPLATE, "a string, which may be a template")                             \
    X(LIMIT, "a number, or a template in quotes")                                \
    X(STEADY, "a duration such as \"2m\", or how many replies in a row")         \
    X(REDIRECTS, "true, false, or how many")                                     \
    X(PAIRS, "a group { name = \"…\"; } or a list ( { name = …; value = …; } )") \
    X(ENABLED, "true, false, or \"auto\"")                                       \
    X(CAPTURE, "\"properties\", or a group { … }")                               \
    X(ARTIFACTS, "a list of groups, or where the reply has a list: \"$.…\"")     \
    X(KEY, "true, or the header's name in quotes")                               \
    X(GROUP, "a group { … }")                                                    \
    X(GROUPS, "a list of groups: ( { … }, { … } )")                              \
    X(UNSETTLED, "a text, or a list of texts")                                   \
    X(ANY, "any value")                                                          \
    X(LATER, "")

enum field_type {
#define X(id, expected) FIELD_##id,
    FIELD_TYPES(X)
#undef X
};

#define FIELD_BY_HAND ((size_t)-1) /* no member of its own: the code that compiles it looks it up */

struct field {
    const char *name;
    enum field_type type;
    size_t offset;       /* of the member that takes it, or FIELD_BY_HAND */
    const char *allowed; /* "low..high", "a|b", or "" */
    const char *preset;  /* as a reader of the reference should see it; "" for none */
    const char *help;
};

struct field_table {
    const char *title; /* in the reference */
    const struct field *fields;
    size_t count;
};

extern const struct field_table fields_artifact, fields_stage, fields_limits, fields_breaker, fields_dedup,
    fields_param, fields_call, fields_auth, fields_tls, fields_retry, fields_repeat, fields_judging, fields_capture,
    fields_step, fields_pair, fields_doubt, fields_probe, fields_callback, fields_verify, fields_cancel,
    fields_permissions, fields_errors;

struct compile;
struct stage_words;

/* A table, and the struct that its members are in. */
struct field_place {
    const struct field_table *table;
    void *base; /* NULL: check only */
};

/* Goes through all settings of a group: unknown ones, wrong types and values out of range are faults; the others are
 * stored where their row says. `of` names the group in sentences. */
void fields_read(struct compile *c, const struct conf *group, const char *of, const struct field_place *places,
                 size_t count);

void fields_read_words(struct compile *c, const struct conf *at, struct stage_words *ret_words);
bool fields_type_fits(const struct conf *conf, enum field_type type);

void fields_print_reference(struct buf *out); /* Markdown, between the markers of docs/definitions.md */

#endif
