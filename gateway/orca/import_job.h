/* What the parts of the import share. Private to orca/import*. */
#ifndef ORCA_IMPORT_JOB_H
#define ORCA_IMPORT_JOB_H

#include "lang/units.h"
#include "orca/import.h"
#include "orca/jayway.h"
#include "orca/spel.h"
#include "orca/yaml_read.h"

#define IMPORT_TEXT_MAX ((size_t)1 << 20)
#define IMPORT_PARAMS_MAX 200
#define IMPORT_SECRETS_MAX 1000
#define IMPORT_REMARKS_MAX 500
#define IMPORT_STEPS_MAX 200000
#define IMPORT_BYTES_MAX ((size_t)16 << 20)

/* The groups of a definition that can be unsettled. */
enum import_group { IMPORT_TOP, IMPORT_REQUEST, IMPORT_STATUS, IMPORT_CANCEL, IMPORT_GROUPS };

/* What a text becomes part of. */
enum import_place { IMPORT_JSON, IMPORT_PLAIN, IMPORT_XML, IMPORT_URL, IMPORT_HEADER, IMPORT_FORM };

struct import_param {
    const char *name, *label, *description, *type; /* type NULL: string */
    struct text original;                          /* the name in parameterValues; or the expression it stands for */
    const char *preset;                            /* NULL: none */
    const struct yaml *choices;                    /* a list, or NULL */
    int64_t order;
    bool required, given; /* given: it stands for what only the pipeline knows */
};

/* The whole file. */
struct import_job {
    struct arena *arena;
    const char *file, *base, *only; /* base: the file without its directory */
    size_t steps;                   /* of walks, which a file of aliases could make endless */
    size_t bytes;                   /* of the texts that were translated: aliases could make them endless too */
    struct buf stages, secrets, entries;
};

/* One entry. */
struct import_work {
    struct import_job *job;
    struct arena *arena;
    const struct yaml *document, *entry;
    int line_offset; /* of a text inside of another file */
    const char *type, *name, *secret_prefix;
    struct import_param params[IMPORT_PARAMS_MAX];
    size_t param_count;
    struct import_remark remarks[IMPORT_REMARKS_MAX];
    size_t remark_count;
    struct buf unsettled[IMPORT_GROUPS]; /* of const char * */
    enum import_group group;             /* what is being translated */
    bool replies;                        /* of the entry's own request: known where it is canceled */
    const char *secret_of;               /* the header that is being translated, if it is a credential; else NULL */
    bool names_secret;
    size_t resolved; /* placeholders of the text at hand */
    struct import_file files[4];
    size_t file_count;
};

/* ---- import_find.c ---- */
struct import_entry {
    const struct yaml *node, *document;
    int line_offset;
};
/* All of them, into job->entries; none is a fault. */
bool import_find(struct import_job *job, struct text source, struct fault *fault);

/* ---- import_keys.c ---- */
/* The entry with its keys as orca's class has them; the others are remarked on. */
const struct yaml *import_canonical(struct import_work *w, const struct yaml *entry);
void import_say_twice(struct import_work *w, const char *name, const struct yaml *first, const struct yaml *again);
/* Of w->entry. {NULL, 0} where it is not there, or no text. */
struct text import_text_at(struct import_work *w, const char *key);
/* True, false, or `preset` where it is not there or cannot be told. */
bool import_truth_at(struct import_work *w, const char *key, bool preset);

/* ---- import_params.c ---- */
void import_params(struct import_work *w); /* of w->entry, into w->params */

/* ---- import.c ---- */
void import_say(struct import_work *w, enum import_grade grade, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- import_text.c ---- */
/* Puts what Spring would in place of ${a.property}, as far as the file has it. */
struct text import_resolve(struct import_work *w, struct text text, int line);
/* Text of the file as a template of that place; what cannot be translated is remarked, and stands as UNSETTLED. False
 * if there was any. `text` has been through import_resolve. */
bool import_text(struct import_work *w, struct text text, int line, enum import_place place, struct buf *out);
struct import_param *import_param_find(struct import_work *w, struct text original, bool given);
struct import_param *import_param_add(struct import_work *w, struct text original, bool given, const char *label);
const char *import_clean(struct import_work *w, struct text text); /* for people: one line, and no ${ in it */

/* ---- import_secret.c ---- */
bool import_secret_name(struct text name, enum import_place place); /* a header, an argument of a URL, a JSON member */
/* The name of the secret that has this value, new or old. Where the file has no value, `source` says what stands for it
 * ("${jira.token}"), and `value` is NULL. */
const char *import_secret(struct import_work *w, const char *value, const char *source, const char *of, int line);
/* Where a credential stands in a literal text of a URL or JSON: the first one at or behind `from`. */
bool import_secret_find(struct text literal, size_t from, enum import_place place, bool ends, struct text *ret_name,
                        size_t *ret_start, size_t *ret_end);

/* ---- import_call.c: the settings of a call, written to `out` ---- */
struct import_call {
    const char *key; /* "url", "cancelEndpoint": for remarks */
    const char *url; /* a template */
    const char *method;
    const char *headers;      /* lines of the definition: headers and auth */
    const char *content_type; /* NULL: not given */
    const char *settings;     /* further lines */
};
void import_headers(struct import_work *w, struct import_call *call);
const char *import_url(struct import_work *w, const struct yaml *value, const char *key, struct import_call *call);
const char *import_method(struct import_work *w, const char *key, const char *preset);
void import_body(struct import_work *w, const char *key, const char *file, const struct import_call *call,
                 struct buf *out);
bool import_codes_read(struct import_work *w, const char *key, struct code_set *ret_codes); /* false: there are none */
void import_codes_add(struct buf *out, const struct code_set *codes);
void import_codes(struct import_work *w, struct buf *out, bool idempotent);

/* ---- import_status.c ---- */
void import_status(struct import_work *w, const struct import_call *request, struct buf *out);

/* ---- import_write.c ---- */
void import_add_string(struct buf *out, struct text text);                    /* in libconfig's notation */
void import_add_setting(struct buf *out, const char *name, struct text text); /* "  name = "text";\n" */
void import_write(struct import_work *w, const char *const groups[IMPORT_GROUPS]);
void import_verify(struct import_work *w, const char *const groups[IMPORT_GROUPS]);

#endif
