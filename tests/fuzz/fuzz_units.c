/* Everything that is read is written as text that reads back as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lang/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct text t = {(const char *)data, size};
    struct fault fault = {0};
    struct code_set set, set_again;
    int64_t value, again;
    double rate;
    struct buf out;
    buf_init(&out, 4096);
    if (duration_parse(t, &value, &fault)) {
        duration_write(&out, value);
        if (!duration_parse(buf_text(&out), &again, &fault) || again != value) abort();
    }
    buf_clear(&out);
    if (size_parse(t, &value, &fault)) {
        size_write(&out, value);
        if (!size_parse(buf_text(&out), &again, &fault) || again != value) abort();
    }
    buf_clear(&out);
    if (code_set_parse(t, &set, &fault)) {
        code_set_write(&out, &set);
        if (!code_set_parse(buf_text(&out), &set_again, &fault) || memcmp(&set, &set_again, sizeof set) != 0) abort();
    }
    if (rate_parse(t, &rate, &fault) && !(rate > 0)) abort();
    buf_fini(&out);
    return 0;
}
