/* Exchanges: what a client sent, decoded.
 *
 * Pure. Called by the listener, which makes exchanges from the guard's requests, and by the handlers. A path is split
 * before it is decoded, and decoded once, so that no encoded character can become a separator; whatever another party
 * on the way might read differently (dot segments, %2f, empty segments) is refused instead of repaired. One slash at
 * the end is the same resource: people type it, and nothing here could be meant by it. */
#include "front/exchange.h"

#include <assert.h>
#include <string.h>

#include "front/guard.h"
#include "lang/url.h"

const char *http_method_word(enum http_method method) {
    static const char *const words[] = {
#define X(word) #word,
        HTTP_METHODS(X)
#undef X
    };
    return words[method];
}

/* A place for each name; two in one place do not compile. */
#define PLACES 32
#define PLACE(length, letter) (((length) + (letter)) % PLACES)

enum http_header http_header_of(struct text name) {
    static const struct {
        struct text name;
        enum http_header header;
    } places[PLACES] = {
#define X(id, letter, word) [PLACE(sizeof(word) - 1, letter)] = {{word, sizeof(word) - 1}, HTTP_HEADER_##id},
        HTTP_HEADERS(X)
#undef X
    };
    if (name.len == 0) return HTTP_HEADER_END;
    size_t place = PLACE(name.len, (unsigned char)(name.at[0] | 0x20));
    const struct text known = places[place].name;
    if (known.len != name.len) return HTTP_HEADER_END;
    bool same = memcmp(known.at, name.at, name.len) == 0 || strncasecmp(known.at, name.at, name.len) == 0;
    return same ? places[place].header : HTTP_HEADER_END;
}

/* ---- what the client sent ---- */

/* Into the arena, NUL-terminated. False for a bad escape. */
static bool decode(struct arena *arena, struct text encoded, bool plus_is_space, struct text *ret_decoded) {
    struct buf out;
    if (!text_holds(encoded, "%") && !(plus_is_space && text_holds(encoded, "+"))) {
        *ret_decoded = (struct text){arena_strndup(arena, encoded.at, encoded.len), encoded.len};
        return true;
    }
    buf_init(&out, encoded.len);
    bool good = url_decode(&out, encoded, plus_is_space);
    if (good) *ret_decoded = (struct text){arena_strndup(arena, buf_cstr(&out), out.len), out.len};
    buf_fini(&out);
    return good;
}

const char *exchange_query(struct exchange *exchange, const char *name) {
    struct text rest = exchange->query, pair, key;
    while (text_cut(&rest, '&', &pair)) {
        text_cut(&pair, '=', &key);
        struct text decoded;
        if (!decode(exchange->arena, key, true, &decoded) || !text_is(decoded, name)) continue;
        if (!decode(exchange->arena, pair, true, &decoded)) return NULL;
        bool plain = !memchr(decoded.at, 0, decoded.len) && text_utf8_check(decoded);
        return plain ? decoded.at : NULL;
    }
    return NULL;
}

bool exchange_check_query(struct arena *arena, struct text query, const char **ret_what) {
    struct text decoded;
    if (query.len == 0) return true;
    *ret_what = "The query has a bad percent escape";
    if (!decode(arena, query, true, &decoded)) return false;
    *ret_what = "The query has a NUL";
    if (memchr(decoded.at, 0, decoded.len)) return false;
    *ret_what = "The query is not UTF-8";
    return text_utf8_check(decoded);
}

static const char *segment_fault(struct text encoded, struct text decoded) {
    if (decoded.len == 0) return "The path has an empty segment";
    if (text_is(decoded, ".") || text_is(decoded, "..")) return "The path has a '.' or '..' segment";
    if (memchr(decoded.at, '/', decoded.len)) return "The path has an encoded slash";
    if (memchr(decoded.at, '\\', decoded.len)) return "The path has a backslash";
    if (memchr(encoded.at, '#', encoded.len)) return "The path has a '#'";
    for (size_t i = 0; i < decoded.len; i++)
        if ((unsigned char)decoded.at[i] < 0x20 || decoded.at[i] == 0x7F) return "The path has a control character";
    if (!text_utf8_check(decoded)) return "The path is not UTF-8";
    return NULL;
}

/* Most segments have nothing that could be decoded or refused. */
static bool stands_for_itself(struct text segment) {
    static const bool plain[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true, ['_'] = true, ['~'] = true};
    for (size_t i = 0; i < segment.len; i++)
        if (!plain[(unsigned char)segment.at[i]]) return false;
    return segment.len > 0;
}

bool exchange_split_path(struct arena *arena, struct text path, const struct text **ret_segments, size_t *ret_count,
                         const char **ret_what) {
    if (path.len == 0 || path.at[0] != '/') {
        *ret_what = "The path does not begin with a slash";
        return false;
    }
    struct text rest = {path.at + 1, path.len - 1}, encoded;
    if (rest.len && rest.at[rest.len - 1] == '/') rest.len--;
    size_t count = 0, most = 1;
    for (size_t i = 0; i < rest.len; i++) most += rest.at[i] == '/';
    struct text *segments = arena_array_of(arena, struct text, most);
    while (path.len > 1 && text_cut(&rest, '/', &encoded)) {
        struct text decoded;
        if (stands_for_itself(encoded)) {
            segments[count++] = (struct text){arena_strndup(arena, encoded.at, encoded.len), encoded.len};
            continue;
        }
        *ret_what = "The path has a bad percent escape";
        if (!decode(arena, encoded, false, &decoded)) return false;
        *ret_what = segment_fault(encoded, decoded);
        if (*ret_what) return false;
        segments[count++] = decoded;
    }
    *ret_segments = segments;
    *ret_count = count;
    return true;
}

/* ---- the answer ---- */

void exchange_answer(struct exchange *exchange, const struct answer *answer) {
    assert(exchange->send);
    void (*send)(struct exchange *, const struct answer *) = exchange->send;
    exchange->send = NULL;
    exchange->on_gone = NULL;
    send(exchange, answer);
}
