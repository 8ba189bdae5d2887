/* How orca waits for an end, as `status`: where it asks, and what it takes an answer for.
 *
 * Of a word that is in two lists orca lets terminal win over canceled, and canceled over success. Without a path any
 * answer is success; a number is a percentage, and 100 the end. A path that orca gets a list from has always ended the
 * stage there, so it is not guessed what was meant. */
#include <string.h>

#include "lang/jsonpath.h"
#include "lang/url.h"
#include "orca/import_job.h"
#include "orca/spring.h"

/* ---- where ---- */

static bool same_origin(const char *url, struct text origin) {
    struct url a, b;
    struct text whole = text_of(url);
    const char *hole = memmem(whole.at, whole.len, "{{", 2);
    if (hole) whole.len = (size_t)(hole - whole.at);
    return url_parse(whole, &a, NULL) && url_parse(origin, &b, NULL) && url_same_origin(&a, &b);
}

static bool is_origin(struct text text) {
    struct url url;
    return url_parse(text, &url, NULL) && (url.path.len == 0 || text_is(url.path, "/")) && !url.query.at;
}

/* concat("http://host", $.href): a reference of the call's own host is followed as it is. */
static const char *concat_url(struct import_work *w, const struct jayway *path, const struct import_call *request,
                              int line) {
    struct buf out;
    bool origin = path->part_count == 2 && !path->parts[0].is_path && path->parts[1].is_path &&
                  is_origin(path->parts[0].text);
    if (origin && path->parts[0].text.at[path->parts[0].text.len - 1] != '/' &&
        same_origin(request->url, path->parts[0].text))
        return arena_printf(w->arena, "{{ request.body%s }}", path->parts[1].member);
    buf_init(&out, IMPORT_TEXT_MAX);
    for (size_t i = 0; i < path->part_count; i++) {
        const struct jayway_part *part = &path->parts[i];
        bool first = origin && i == 1 && path->parts[0].text.at[path->parts[0].text.len - 1] != '/';
        if (!part->is_path) import_text(w, part->text, line, IMPORT_URL, &out);
        else if (first)
            buf_addf(&out, "/{{ request.body%s | string | regex_replace('^/', '') | segments }}", part->member);
        else
            buf_addf(&out, "{{ request.body%s%s }}", part->member,
                     memchr(out.at, '?', out.len) ? "" : " | string | segments");
    }
    const char *url = arena_strdup(w->arena, buf_cstr(&out));
    buf_fini(&out);
    return url;
}

static const char *response_url(struct import_work *w, const struct import_call *request, int line) {
    const struct yaml *value = yaml_get(w->entry, "statusUrlJsonPath");
    struct jayway path;
    struct fault fault;
    if (yaml_is_null(value) || value->kind != YAML_TEXT) {
        import_say(w, IMPORT_UNSETTLED, line,
                   "statusUrlResolution is webhookResponse, and there is no statusUrlJsonPath");
        return "https://unsettled.invalid/";
    }
    struct text text = import_resolve(w, yaml_as_text(value), value->line);
    if (!jayway_read(w->arena, text, &path, &fault)) {
        import_say(w, IMPORT_UNSETTLED, value->line, "statusUrlJsonPath: %s", fault.what);
        return "https://unsettled.invalid/";
    }
    if (path.parts) return concat_url(w, &path, request, value->line);
    if (path.member && path.member[0]) return arena_printf(w->arena, "{{ request.body%s }}", path.member);
    import_say(w, IMPORT_UNSETTLED, value->line, "statusUrlJsonPath: %s can lead to more than one value, or to no text",
               import_clean(w, text));
    return "https://unsettled.invalid/";
}

static const char *status_url(struct import_work *w, const struct import_call *request) {
    const struct yaml *value = yaml_get(w->entry, "statusUrlResolution");
    struct text word = yaml_is_null(value) ? TEXT("getMethod") : text_trim(yaml_as_text(value));
    if (yaml_is_null(value))
        import_say(w, IMPORT_NOTE, w->entry->line,
                   "statusUrlResolution is not set: getMethod is taken, as Spinnaker's editor does");
    if (spring_key_is(word, "getMethod")) return request->url;
    if (spring_key_is(word, "locationHeader")) return "{{ request.headers.location }}";
    if (spring_key_is(word, "webhookResponse")) return response_url(w, request, value->line);
    import_say(w, IMPORT_UNSETTLED, value->line,
               "statusUrlResolution: \"%s\" is not getMethod, locationHeader or webhookResponse",
               import_clean(w, word));
    return request->url;
}

/* ---- what it means ---- */

#define WORDS_MAX 200

struct words {
    struct text items[WORDS_MAX];
    size_t count;
};

static bool same_word(struct text a, struct text b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        char x = a.at[i], y = b.at[i];
        if (x >= 'a' && x <= 'z') x = (char)(x + 'A' - 'a');
        if (y >= 'a' && y <= 'z') y = (char)(y + 'A' - 'a');
        if (x != y) return false;
    }
    return true;
}

static bool holds(const struct words *words, struct text word) {
    for (size_t i = 0; i < words->count; i++)
        if (same_word(words->items[i], word)) return true;
    return false;
}

static void add_words(struct import_work *w, const struct yaml *value, const char *key, const struct words *stronger,
                      const struct words *strongest, struct words *to) {
    struct text rest = import_resolve(w, yaml_as_text(value), value->line), word;
    while (text_cut(&rest, ',', &word)) {
        word = text_trim(word);
        if (!word.len) continue;
        if (holds(stronger, word) || holds(strongest, word))
            import_say(w, IMPORT_NOTE, value->line, "%s: %s is in another list too, which wins in orca as well", key,
                       import_clean(w, word));
        else if (holds(to, word))
            import_say(w, IMPORT_NOTE, value->line, "%s: %s stands there twice, on which orca fails", key,
                       import_clean(w, word));
        else if (text_holds(word, "${"))
            import_say(w, IMPORT_UNSETTLED, value->line, "%s: an expression cannot be a word: %s", key,
                       import_clean(w, word));
        else if (to->count == WORDS_MAX)
            import_say(w, IMPORT_UNSETTLED, value->line, "%s: more than %d words", key, WORDS_MAX);
        else to->items[to->count++] = word;
    }
}

static void read_words(struct import_work *w, const char *key, const struct words *stronger,
                       const struct words *strongest, struct words *ret) {
    const struct yaml *value = yaml_get(w->entry, key);
    ret->count = 0;
    if (yaml_is_null(value)) return;
    if (value->kind == YAML_TEXT) add_words(w, value, key, stronger, strongest, ret);
    if (value->kind == YAML_MAP) import_say(w, IMPORT_UNSETTLED, value->line, "%s is a mapping, and no text", key);
    if (value->kind != YAML_LIST || !value->count) return;
    import_say(w, IMPORT_NOTE, value->line, "%s is a list, which orca does not read: it wants words with commas", key);
    for (size_t i = 0; i < value->count; i++) add_words(w, value->items[i], key, stronger, strongest, ret);
}

static void put_words(struct buf *out, const char *name, const struct words *words) {
    if (!words->count) return;
    buf_addf(out, "  %s = [ ", name);
    for (size_t i = 0; i < words->count; i++) {
        if (i) buf_adds(out, ", ");
        import_add_string(out, words->items[i]);
    }
    buf_adds(out, " ];\n");
}

/* A path to one value, in RFC 9535; NULL if there is none, or after a remark. */
static const char *value_path(struct import_work *w, const char *key) {
    const struct yaml *value = yaml_get(w->entry, key);
    struct jayway path;
    struct fault fault;
    if (yaml_is_null(value)) return NULL;
    struct text text = text_trim(import_resolve(w, yaml_as_text(value), value->line));
    if (value->kind == YAML_TEXT && !text.len) return NULL;
    if (value->kind != YAML_TEXT) import_say(w, IMPORT_UNSETTLED, value->line, "%s is no text", key);
    else if (!jayway_read(w->arena, text, &path, &fault))
        import_say(w, IMPORT_UNSETTLED, value->line, "%s: %s", key, fault.what);
    else if (!path.path)
        import_say(w, IMPORT_UNSETTLED, value->line, "%s: concat() leads to no value of the reply", key);
    else if (!path.definite)
        import_say(w, IMPORT_UNSETTLED, value->line,
                   "%s: %s gives a list, on which orca ends the stage; here %s would give the first that is found", key,
                   import_clean(w, text), path.path);
    else return path.path;
    return NULL;
}

static void put_rules(struct import_work *w, struct buf *out) {
    struct words none = {.count = 0}, failure, canceled, success;
    const struct yaml *at = yaml_get(w->entry, "statusJsonPath");
    size_t before = w->unsettled[IMPORT_STATUS].len;
    const char *path = value_path(w, "statusJsonPath"), *progress = value_path(w, "progressJsonPath");
    read_words(w, "terminalStatuses", &none, &none, &failure);
    read_words(w, "canceledStatuses", &failure, &none, &canceled);
    read_words(w, "successStatuses", &failure, &canceled, &success);
    if (!path) {
        bool open = w->unsettled[IMPORT_STATUS].len != before;
        if (!open && (failure.count || canceled.count || success.count))
            import_say(w, IMPORT_NOTE, w->entry->line,
                       "without statusJsonPath the lists of words mean nothing, in orca too");
        buf_adds(out, "  success_when = \"code >= 200 and code < 300\";\n");
        return;
    }
    import_add_setting(out, "value", text_of(path));
    if (success.count) {
        put_words(out, "success", &success);
        put_words(out, "failure", &failure);
        put_words(out, "canceled", &canceled);
    } else {
        import_say(w, IMPORT_NOTE, at->line, "without successStatuses only the number 100 is success, as in orca");
        buf_adds(out, "  at_least = 100;\n");
        if (failure.count || canceled.count)
            import_say(w, IMPORT_UNSETTLED, at->line,
                       "terminalStatuses or canceledStatuses need successStatuses: orca fails without");
    }
    if (progress) import_add_setting(out, "progress", text_of(progress));
    else if (!success.count) import_add_setting(out, "progress", text_of(path));
}

static void put_wait(struct import_work *w, struct buf *out) {
    const struct yaml *value = yaml_get(w->entry, "waitBeforeMonitor");
    int64_t seconds;
    if (yaml_is_null(value)) return;
    if (!text_to_int(text_trim(import_resolve(w, yaml_as_text(value), value->line)), &seconds) || seconds < 0 ||
        seconds > 86400) {
        import_say(w, IMPORT_UNSETTLED, value->line, "waitBeforeMonitor is no number of seconds up to a day");
        return;
    }
    if (!seconds) return;
    buf_addf(out, "  not_found_grace = \"%llds\";\n", (long long)seconds);
    import_say(
        w, IMPORT_NOTE, value->line,
        "waitBeforeMonitor is not_found_grace: it is asked at once, and a 404 means \"not there yet\" for so long");
}

static void put_retry(struct import_work *w, struct buf *out) {
    struct code_set asked, retry;
    if (!import_codes_read(w, "retryStatusCodes", &asked)) return;
    code_set_parse(TEXT("408,425,429,5xx"), &retry, NULL);
    for (size_t i = 0; i < 8; i++) retry.bits[i] |= asked.bits[i];
    import_codes_add(out, &retry);
}

void import_status(struct import_work *w, const struct import_call *request, struct buf *out) {
    const char *url = status_url(w, request);
    import_add_setting(out, "url", text_of(url));
    buf_adds(out, request->headers);
    buf_adds(out, "  follow_redirects = true;\n");
    put_rules(w, out);
    put_wait(w, out);
    put_retry(w, out);
}
