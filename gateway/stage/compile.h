/* What the parts of the definition compiler share. Private to stage/. */
#ifndef STAGE_COMPILE_H
#define STAGE_COMPILE_H

#include "config/conf_file.h"
#include "stage/fields.h"
#include "stage/source.h"
#include "stage/stage.h"

/* What the templates at hand may speak of. */
struct compile_scope {
    size_t steps;   /* of so many steps the replies are known */
    size_t outputs; /* and of so many the outputs */
    bool reply;     /* body, headers, code of the reply at hand */
    bool secrets;
    bool own_body;           /* body is that of the request at hand, as it will be sent: in its headers, to sign it */
    bool callback;           /* in a call that may tell where to call back: a step's own, or its probe */
    const char *no_callback; /* why not, where it is not plain; NULL: since it is as good as a key */
    bool judging;            /* in rules: `outputs` are those of the step at hand, made of the reply at hand, */
    const struct conf *own_outputs; /* and here is what it declares; NULL: none */
};

struct compile {
    struct arena *arena; /* the stage's */
    struct faults *faults;
    const struct stage_context *context;
    struct source source;
    struct stage *stage;
    struct compile_scope scope;
    struct template_names names;
    bool may_lack;              /* a secret that is not known disables the stage, and is no mistake */
    const char *lacked;         /* names of such secrets, with ", " between them; NULL: none */
    struct json_wanted *wanted; /* of the bodies of replies, by step; as many as there are names of steps */
    size_t at_hand;             /* the step whose reply `body` and paths are about; STAGE_STEPS_MAX: any of them */
    size_t steps_used;          /* 1 + the highest step that a template compiled since this was zeroed speaks of */
    bool callback_used;         /* a template compiled since this was cleared speaks of callback */
    struct buf warnings;        /* of struct fault */
};

/* Both at the line of `at`. */
void compile_fault(struct compile *c, const struct conf *at, enum fault_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void compile_warn(struct compile *c, const struct conf *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "; did you mean \"x\"?" or "" */
const char *compile_hint(struct compile *c, struct text word, const char *const *names, size_t count);
size_t compile_fault_count(const struct compile *c);

/* NULL after a fault. */
const struct template *compile_template(struct compile *c, const struct conf *at, enum template_place place);
const struct template *compile_template_text(struct compile *c, const struct conf *at, struct text source,
                                             enum template_place place);
const struct template *compile_template_file(struct compile *c, const struct conf *at, enum template_place place);
const struct template *compile_expression(struct compile *c, const struct conf *at); /* bare, without {{ }} */
const struct jsonpath *compile_path(struct compile *c, const struct conf *at);
bool compile_number(struct text t, double *ret_number); /* as JSON writes one */
const struct json *compile_json(struct arena *arena, const struct conf *conf);

enum compile_name_kind { COMPILE_STAGE_NAME, COMPILE_PARAM_NAME, COMPILE_STEP_NAME };
bool compile_name_check(struct compile *c, const struct conf *at, const char *what, enum compile_name_kind kind);

void compile_params(struct compile *c, const struct conf *list); /* into stage->params */

void compile_limits(struct compile *c, const struct conf *top); /* limits, breaker, dedup, into the stage */

enum compile_call_kind { COMPILE_REQUEST, COMPILE_STATUS, COMPILE_STEP, COMPILE_CANCEL, COMPILE_PROBE };
void compile_call(struct compile *c, const struct conf *group, const char *of, enum compile_call_kind kind,
                  struct stage_call *call);
/* The group with what `follow` stands for; the same where it has none. `before` is the step whose reply says where to
 * ask; NULL: there is none. */
const struct conf *compile_follow(struct compile *c, const struct conf *group, const char *before);
/* `when` of a step that follows: there may be nothing to ask, since the work was done at once. One of its own has to
 * hold as well; it has been compiled alone, since only then are brackets round it sure to hold it together. */
const struct conf *compile_follow_when(struct compile *c, const struct conf *group, const char *before);
void compile_call_defaults(struct stage_call *call);             /* before fields_read */
const struct conf *compile_rules_find(const struct conf *group); /* what makes a step repeat; or NULL */
void compile_rules(struct compile *c, const struct conf *group, const char *of, bool must, struct stage_step *step);
void compile_capture(struct compile *c, const struct conf *at, struct stage_capture *capture); /* `at` may be NULL */
struct stage_callback *compile_callback(struct compile *c, const struct conf *group, const char *of,
                                        bool polls); /* `group` is callback = { … }; `polls`: its step does */
void compile_waiting(struct compile *c, const struct conf *group, const char *of,
                     struct stage_call *call); /* in place of a call: the step only waits */
void compile_doubt(struct compile *c, const struct conf *group, const char *of, struct stage_step *step);
/* Of a call that has no other rules: error_when and error. */
void compile_errors(struct compile *c, const struct conf *group, struct stage_rules *rules);
/* Once the outputs of the rules' step are compiled: what the rules call `outputs`. */
void compile_rules_outputs(struct stage_rules *rules, const struct stage_output *outputs, size_t count);
void compile_outputs(struct compile *c, const struct conf *group, const struct stage_output **ret_outputs,
                     size_t *ret_count);
void compile_artifacts(struct compile *c, const struct conf *at, struct stage_artifacts *artifacts); /* NULL: none */

#endif
