/* What commands read: files and stdin, whole and within a ceiling. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/text.h"
#include "lang/json.h"

#define INPUT_MAX_BYTES ((size_t)64 * 1024 * 1024)

/* Appends the file's bytes; "-" is stdin. */
bool input_read(const char *file, struct buf *out, struct fault *fault);
const char *input_name(const char *file); /* for messages: "-" is "stdin" */

/* JSON from an argument or a file. NULL with a fault whose `where` is given. */
const struct json *input_json(struct arena *arena, struct text source, const char *where, struct fault *fault);
const struct json *input_json_file(struct arena *arena, const char *file, struct fault *fault);

#endif
