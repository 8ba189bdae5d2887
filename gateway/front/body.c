/* Reads a body as what it is.
 *
 * orca sends JSON as text/plain;charset=ISO-8859-1 when nobody set a type, and what that label says is what it did:
 * Spring wrote the text in Latin-1, and anything beyond it was lost there already. Set to text/plain without a charset
 * it still writes Latin-1, and says nothing of it; others who send such a thing send UTF-8, as JSON has to be. UTF-8
 * does not happen by accident, so text without a charset is UTF-8 if it can be, and Latin-1 if not. JSON that calls
 * itself so is UTF-8 (RFC 8259, 8.1). */
#include "front/body.h"

#include <string.h>
#include <strings.h>

#include "stage/expression.h"

static struct text essence_of(const char *type) {
    struct text rest = text_of(type), essence = {0};
    text_cut(&rest, ';', &essence);
    return text_trim(essence);
}

static bool media_allowed(const char *type) {
    struct text essence = essence_of(type);
    if (!type || text_is_nocase(essence, "application/json") || text_is_nocase(essence, "text/plain")) return true;
    return essence.len > 5 && strncasecmp(essence.at, "application/", 12) == 0 &&
           strncasecmp(essence.at + essence.len - 5, "+json", 5) == 0;
}

/* The value of charset=, without its quotes; empty without one. */
static struct text charset_of(const char *type) {
    struct text rest = text_of(type), part, name;
    text_cut(&rest, ';', &part);
    while (text_cut(&rest, ';', &part)) {
        part = text_trim(part);
        if (!text_cut(&part, '=', &name) || !text_is_nocase(text_trim(name), "charset")) continue;
        part = text_trim(part);
        if (part.len >= 2 && part.at[0] == '"' && part.at[part.len - 1] == '"')
            part = (struct text){part.at + 1, part.len - 2};
        return part;
    }
    return (struct text){0};
}

static bool is_latin1(const char *type, struct text body) {
    static const char *const names[] = {"iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "l1"};
    struct text charset = charset_of(type);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (text_is_nocase(charset, names[i])) return true;
    return !charset.len && text_is_nocase(essence_of(type), "text/plain") && !text_utf8_check(body);
}

static struct text latin1_to_utf8(struct arena *arena, struct text body) {
    char *made = arena_alloc(arena, 2 * body.len + 1), *to = made;
    for (size_t i = 0; i < body.len; i++) to = text_put_character(to, (unsigned char)body.at[i]);
    return (struct text){made, (size_t)(to - made)};
}

const struct json *body_object(struct arena *arena, const char *type, struct text body,
                               const struct json_limits *limits, struct faults *faults) {
    struct fault fault;
    if (body.len && !media_allowed(type)) {
        faults_addf(faults, FAULT_UNSUPPORTED, "", "the body has to be JSON: Content-Type: application/json");
        return NULL;
    }
    body = text_trim(body);
    if (body.len == 0) return json_new_object(arena);
    if (is_latin1(type, body)) body = latin1_to_utf8(arena, body);
    const struct json *value = json_parse(arena, body, limits, &fault);
    if (value && json_kind(value) == JSON_OBJECT) return value;
    if (value)
        fault_set(&fault, FAULT_SYNTAX, NULL,
                  "the body has to be a JSON object, as in {\"parameters\": {…}}, and is of type %s",
                  json_kind_word(json_kind(value)));
    if (!expression_find_raw(body, faults)) faults_add(faults, &fault);
    return NULL;
}
