/* Masks by value, not by text: a report stays JSON whatever is taken out of it.
 *
 * Two sources: the secrets of the gateway (back/secrets knows them), and the parameters of type secret of the run at
 * hand. */
#include "run/mask.h"

#include <string.h>

#include "back/secrets.h"

#define MASK "***"
#define SHORTEST 4 /* bytes: what is shorter occurs everywhere */
#define TEXT_MAX (64 * 1024 * 1024)

static bool mask_parameter(struct text secret, struct buf *text) {
    if (secret.len < SHORTEST || !memmem(text->at, text->len, secret.at, secret.len)) return false;
    struct buf made;
    buf_init(&made, TEXT_MAX);
    const char *at = text->at, *end = text->at + text->len, *found;
    while ((found = memmem(at, (size_t)(end - at), secret.at, secret.len))) {
        buf_add(&made, at, (size_t)(found - at));
        buf_adds(&made, MASK);
        at = found + secret.len;
    }
    buf_add(&made, at, (size_t)(end - at));
    buf_fini(text);
    *text = made;
    return true;
}

static bool mask_text(const struct run *run, struct text text, struct buf *ret_masked) {
    buf_init(ret_masked, TEXT_MAX);
    bool changed = secrets_mask_text(text, ret_masked);
    if (!changed) buf_addt(ret_masked, text);
    for (size_t i = 0; run && run->stage && i < run->stage->param_count; i++) {
        const struct param *param = &run->stage->params[i];
        if (param->type == PARAM_SECRET)
            changed |= mask_parameter(json_text(json_gets(run->parameters, param->name)), ret_masked);
    }
    return changed;
}

static const struct json *mask_scalar(const struct run *run, struct arena *arena, const struct json *value) {
    struct buf text, masked;
    buf_init(&text, TEXT_MAX);
    json_write_text(&text, value);
    const struct json *made = value;
    if (mask_text(run, buf_text(&text), &masked)) made = json_new_text(arena, buf_text(&masked));
    buf_fini(&masked);
    buf_fini(&text);
    return made;
}

const struct json *mask_value(void *arg, struct arena *arena, const struct json *value) {
    const struct run *run = arg;
    switch (json_kind(value)) {
    case JSON_STRING:
    case JSON_INT:
    case JSON_REAL: return mask_scalar(run, arena, value);
    case JSON_ARRAY: {
        struct json *made = json_new_array(arena);
        for (size_t i = 0; i < json_size(value); i++) json_push(made, mask_value(arg, arena, json_at(value, i)));
        return made;
    }
    case JSON_OBJECT: {
        struct json *made = json_new_object(arena);
        for (struct json_member m = json_first(value); m.name.at; m = json_next(value, m))
            json_set_text(made, m.name, mask_value(arg, arena, m.value));
        return made;
    }
    default: return value;
    }
}
