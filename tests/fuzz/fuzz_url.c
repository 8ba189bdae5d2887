/* The first line is a base, the rest a reference: what resolves is a URL of ours that resolves to itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lang/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_encoding(struct text t) {
    struct buf coded, back;
    buf_init(&coded, t.len * 3 + 1);
    buf_init(&back, t.len + 1);
    url_encode(&coded, t);
    if (!url_decode(&back, buf_text(&coded), true) || !text_same(buf_text(&back), t)) abort();
    buf_clear(&back);
    url_decode(&back, t, false);
    buf_fini(&coded);
    buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct text rest = {(const char *)data, size}, base = {"", 0};
    text_cut(&rest, '\n', &base);
    struct arena *arena = arena_new();
    struct url url;
    if (url_parse(base, &url, NULL) && !url_same_origin(&url, &url)) abort();
    char *made = url_resolve(arena, base, (struct text){rest.at ? rest.at : "", rest.len}, NULL);
    if (made) {
        char *again = url_resolve(arena, text_of(made), text_of(made), NULL);
        if (!url_parse(text_of(made), &url, NULL)) abort();
        if (!again) abort();
    }
    check_encoding((struct text){(const char *)data, size});
    arena_free(arena);
    return 0;
}
