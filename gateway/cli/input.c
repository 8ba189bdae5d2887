/* Reads files and stdin for the commands.
 *
 * Only what the user named on the command line is read, whole, up to a ceiling that no honest input meets. */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 * 1024 };

const char *input_name(const char *file) {
    return strcmp(file, "-") == 0 ? "stdin" : file;
}

static bool read_all(int fd, const char *name, struct buf *out, struct fault *fault) {
    char *chunk = mem_alloc(CHUNK_BYTES);
    ssize_t n;
    while ((n = read(fd, chunk, CHUNK_BYTES)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        buf_add(out, chunk, (size_t)n);
        if (out->full) break;
    }
    bool good = n == 0;
    if (n < 0) fault_set(fault, FAULT_IO, name, "cannot be read: %m");
    if (n > 0) fault_set(fault, FAULT_TOO_LARGE, name, "it has more than %zu bytes", out->max);
    mem_free(chunk);
    return good;
}

bool input_read(const char *file, struct buf *out, struct fault *fault) {
    if (strcmp(file, "-") == 0) return read_all(STDIN_FILENO, "stdin", out, fault);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fault_set(fault, FAULT_IO, file, "cannot be read: %m");
    bool good = read_all(fd, file, out, fault);
    close(fd);
    return good;
}

const struct json *input_json(struct arena *arena, struct text source, const char *where, struct fault *fault) {
    static const struct json_limits limits = {.max_bytes = INPUT_MAX_BYTES, .max_depth = 512, .max_items = 4000000};
    struct fault inner;
    const struct json *value = json_parse(arena, source, &limits, &inner);
    if (!value) fault_set(fault, inner.kind, where, "%s", inner.what);
    return value;
}

const struct json *input_json_file(struct arena *arena, const char *file, struct fault *fault) {
    struct buf bytes;
    buf_init(&bytes, INPUT_MAX_BYTES);
    const struct json *value = NULL;
    if (input_read(file, &bytes, fault)) value = input_json(arena, buf_text(&bytes), input_name(file), fault);
    buf_fini(&bytes);
    return value;
}
