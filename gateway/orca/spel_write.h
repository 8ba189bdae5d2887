/* SpEL, as an expression of the template language. */
#ifndef ORCA_SPEL_WRITE_H
#define ORCA_SPEL_WRITE_H

#include <stdbool.h>

#include "orca/spel.h"

enum spel_type { SPEL_IS_TEXT, SPEL_IS_NUMBER, SPEL_IS_BOOL, SPEL_IS_ANY };
enum spel_level { SPEL_LOOSE, SPEL_FILTERED, SPEL_ATOM }; /* what it may be an operand of without brackets */

struct spel_out {
    const char *text;
    enum spel_type type;
    enum spel_level level;
};

/* What names stand for. */
struct spel_names {
    void *arg;
    /* parameterValues['name']: an expression, such as "parameters.name", or a text in quotes. */
    const char *(*parameter)(void *arg, struct text name);
    /* What only the pipeline knows (trigger['tag'], #stage('x')['status']): a parameter that takes its place. */
    const char *(*given)(void *arg, const struct spel *node, bool json);
    bool replies; /* webhook.body and the like are known: it is about cancelling */
};

/* `bare`: the value is to stand as JSON, not as text. *ret->text is in `arena`. False with what cannot be translated.
 */
bool spel_write(struct arena *arena, const struct spel *node, const struct spel_names *names, bool bare,
                struct spel_out *ret, struct fault *fault);

#endif
