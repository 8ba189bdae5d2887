/* Masks by value, not by text: a report stays JSON whatever is taken out of it.
 *
 * Three sources: the secrets of the gateway (back/secrets knows them), the parameters of type secret of the run at
 * hand, and the tokens of callbacks. */
#include "run/mask.h"

#include <string.h>

#include "back/secrets.h"
#include "lang/value.h"
#include "run/callback.h"

#define MASK "***"
#define SHORTEST 4 /* bytes: what is shorter occurs everywhere */
#define TEXT_MAX (64 * 1024 * 1024)

static struct text secret_of(const struct run *run, size_t param) {
    struct text value = text_of(run->secrets ? run->secrets[param] : NULL);
    return value.len < SHORTEST ? (struct text){0} : value;
}

/* The longest secret that stands at `at`, since one may be the beginning of another; 0: none. */
static size_t secret_at(const struct run *run, const char *at, size_t left) {
    size_t longest = 0;
    for (size_t i = 0; i < run->stage->param_count; i++) {
        struct text secret = secret_of(run, i);
        if (secret.len > longest && secret.len <= left && memcmp(at, secret.at, secret.len) == 0) longest = secret.len;
    }
    return longest;
}

/* Marks each byte of one. */
static bool cover_parameters(const struct run *run, struct text text, char *covered) {
    bool any = false;
    for (size_t i = 0; i < text.len; i++) {
        size_t n = secret_at(run, text.at + i, text.len - i);
        memset(covered + i, 1, n);
        any = any || n;
    }
    return any;
}

static void add_uncovered(struct text text, const char *covered, struct buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        if (!covered[i]) buf_addc(out, text.at[i]);
        else if (i == 0 || !covered[i - 1]) buf_adds(out, MASK);
    }
}

static bool has_secrets(const struct run *run) {
    for (size_t i = 0; run && run->stage && i < run->stage->param_count && run->secrets; i++)
        if (secret_of(run, i).len) return true;
    return false;
}

/* The run's secrets and those of the gateway may overlap each other: all are found before any is taken out, or parts of
 * others would be left. */
static bool mask_own(const struct run *run, struct text text, struct buf *out) {
    char *covered = mem_alloc(text.len + 1);
    bool any = cover_parameters(run, text, covered);
    for (size_t start, end, from = 0; any && secrets_find(text, from, &start, &end); from = end)
        memset(covered + start, 1, end - start);
    if (any) add_uncovered(text, covered, out);
    mem_free(covered);
    return any;
}

/* Most texts hold none, and are not copied. */
bool mask_text(const struct run *run, struct text text, struct buf *ret_masked) {
    buf_init(ret_masked, TEXT_MAX);
    bool changed = (has_secrets(run) && mask_own(run, text, ret_masked)) || secrets_mask_text(text, ret_masked);
    if (changed) callback_mask(ret_masked);
    else changed = callback_mask_text(text, ret_masked);
    return changed;
}

static const struct json *mask_scalar(const struct run *run, struct arena *arena, const struct json *value) {
    struct buf masked;
    char digits[VALUE_DIGITS];
    const struct json *made = value;
    if (mask_text(run, value_scalar_text(value_of(value), digits), &masked))
        made = json_new_text(arena, buf_text(&masked));
    buf_fini(&masked);
    return made;
}

/* Most hold nothing to mask: they are copied from where they do. */
static const struct json *mask_array(const struct run *run, struct arena *arena, const struct json *array) {
    struct json *made = NULL;
    for (size_t i = 0; i < json_size(array); i++) {
        const struct json *item = json_at(array, i), *masked = mask_value(run, arena, item);
        if (masked != item && !made) {
            made = json_new_array(arena);
            for (size_t before = 0; before < i; before++) json_push(made, json_at(array, before));
        }
        if (made) json_push(made, masked);
    }
    return made ? made : array;
}

static const struct json *mask_object(const struct run *run, struct arena *arena, const struct json *object) {
    struct json *made = NULL;
    for (struct json_member m = json_first(object); m.name.at; m = json_next(object, m)) {
        struct buf name;
        const struct json *masked = mask_value(run, arena, m.value);
        bool renamed = mask_text(run, m.name, &name);
        if (!made && (renamed || masked != m.value)) made = json_copy_members(arena, object, m.name.at);
        if (made) json_set_text(made, renamed ? buf_text(&name) : m.name, masked);
        buf_fini(&name);
    }
    return made ? made : object;
}

const struct json *mask_value(const struct run *run, struct arena *arena, const struct json *value) {
    switch (json_kind(value)) {
    case JSON_STRING:
    case JSON_INT:
    case JSON_REAL: return mask_scalar(run, arena, value);
    case JSON_ARRAY: return mask_array(run, arena, value);
    case JSON_OBJECT: return mask_object(run, arena, value);
    default: return value;
    }
}
