/* The template language: compiled once at load to a program that only appends.
 *
 * Every template has a place: what it is a template of. The place decides how a value is escaped where it is put in, so
 * that no value can break out of its position; the writer of a template never escapes by hand. */
#ifndef LANG_TEMPLATE_H
#define LANG_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"

enum template_place {
    PLACE_TEXT,   /* nothing is escaped */
    PLACE_JSON,   /* a JSON text: inside quotes a value's text is escaped, elsewhere the value stands as JSON */
    PLACE_URL,    /* an absolute URL: scheme, host and port are literal, or the whole URL is one expression */
    PLACE_HEADER, /* a header's value: control characters are refused at render */
    PLACE_FORM,   /* one value of a form: percent-encoded (application/x-www-form-urlencoded) */
    PLACE_XML     /* an XML text: elements' text and attributes' values are escaped */
};

/* What a template may speak of. Compilation resolves each root name to its index in `roots`; rendering takes the values
 * by it. */
struct template_names {
    const char *const *roots; /* "parameters", "secret", "run", … */
    size_t count;
    /* Asked for every static path (`parameters.users`: root "parameters", names {"users"}), to refuse what nobody
     * declared. Puts a fault with a "did you mean" where it can. May be NULL. */
    bool (*check)(void *arg, const char *root, const struct text *names, size_t count, struct fault *fault);
    void *arg;
};

struct template_rules {
    enum template_place place;
    const struct template_names *names;
    const char *file; /* for faults: the file that the source stands in */
    int line;         /* the line of that file on which the source begins (1…) */
    bool no_secrets;  /* `secret` is refused here: outputs, messages */
    /* NULL: {% include %} is refused. *ret_file is for faults; both live as long as the arena. */
    bool (*part)(void *arg, const char *name, const char **ret_file, struct text *ret_text, struct fault *fault);
    void *part_arg;
};

struct template;

/* Lives in `arena`, `source` is copied. Every mistake has `where` = "file:line:column", and `lines` show it: SYNTAX,
 * UNDEFINED (a name, a filter), INVALID (a place that takes no expression, branches that end in different places, a
 * secret), UNSUPPORTED, TOO_LARGE (1 MiB of source with its parts, expressions nested 64 deep, statements 32, loops 16,
 * 64 variables, parts 8). */
const struct template *template_compile(struct arena *arena, struct text source, const struct template_rules *rules,
                                        struct fault *fault);
/* A bare expression, without {{ }}, for template_value(). */
const struct template *template_compile_expression(struct arena *arena, struct text source,
                                                   const struct template_rules *rules, struct fault *fault);

bool template_uses(const struct template *t, size_t root);
uint64_t template_roots(const struct template *t); /* all that it uses: bit i is roots[i]; NULL uses none */
/* PLACE_URL: the whole URL is one expression; *ret_root is the root it comes from (a step's reply). */
bool template_is_whole_url(const struct template *t, size_t *ret_root);

/* roots[i] is the value of names->roots[i]; NULL where there is none yet (its use is then UNDEFINED). JSON null is
 * UNDEFINED as well, but for a bare hole of PLACE_JSON. `default` catches both: an upstream that has no value leaves it
 * out or sends null, and nobody can know which (Jinja's own catches only the absent).
 * Appends to `out`. Faults: UNDEFINED (name and line), INVALID (a value that the place refuses, two members of one
 * name), TOO_LARGE (`out` is full, 100,000 passes of loops, 10,000,000 steps, 32 MiB of texts made). After a fault
 * `out` has what it had before. */
bool template_render(const struct template *t, const struct json *const *roots, struct buf *out, struct fault *fault);

/* For outputs and conditions: a template that is one expression gives its value as it is, any other its text. */
const struct json *template_value(const struct template *t, const struct json *const *roots, struct arena *arena,
                                  struct fault *fault);

#endif
