/* Who may call: read from callers.conf, looked up once a request.
 *
 * Tokens are compared by their SHA-256, so that neither the file nor a timing tells one. */
#include "front/callers.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "config/conf_file.h"

#define HEX_LEN 64

struct names {
    const char **items;
    size_t count;
};

struct caller {
    const char *name;
    const char *token_sha256; /* lower-case hex, or NULL */
    const char *certificate;  /* or NULL */
    struct names rights[RIGHT_END];
};

struct callers {
    struct arena *arena;
    struct caller *items;
    size_t count;
    int references;
};

static const char *const right_words[RIGHT_END] = {"start", "see", "cancel"};

static const char *where_of(struct arena *arena, const struct conf *conf) {
    return arena_printf(arena, "%s:%d", conf->file, conf->line);
}

static const char *read_string(struct callers *callers, const struct conf *conf, struct faults *faults) {
    if (conf->kind == CONF_STRING && conf->string.len)
        return arena_strndup(callers->arena, conf->string.at, conf->string.len);
    faults_addf(faults, FAULT_INVALID, where_of(callers->arena, conf),
                "%s has to be a string that is not empty, not %s", conf->name, conf_shown(callers->arena, conf));
    return NULL;
}

static const char *read_digest(struct callers *callers, const struct conf *conf, struct faults *faults) {
    char *digest = (char *)arena_strdup(callers->arena, read_string(callers, conf, faults));
    if (!digest) return NULL;
    bool good = strlen(digest) == HEX_LEN;
    for (char *c = digest; *c; c++) {
        good = good && isxdigit((unsigned char)*c);
        *c = (char)tolower((unsigned char)*c);
    }
    char nothing[HEX_LEN + 1];
    digest_sha256_hex(text_of(""), nothing);
    if (good && strcmp(digest, nothing) != 0) return digest;
    if (good) {
        faults_addf(faults, FAULT_INVALID, where_of(callers->arena, conf),
                    "token_sha256 is the SHA-256 of nothing, so anybody could be this caller; was $TOKEN not set?");
        return NULL;
    }
    faults_addf(
        faults, FAULT_INVALID, where_of(callers->arena, conf),
        "token_sha256 has to be 64 hexadecimal digits: the SHA-256 of the token (printf %%s \"$TOKEN\" | sha256sum)");
    return NULL;
}

/* "a-*" is a name's beginning; a star elsewhere would be taken for more than it is. */
static const char *stage_pattern_fault(struct text pattern) {
    if (pattern.len == 0) return "a name that is empty";
    for (size_t i = 0; i + 1 < pattern.len; i++)
        if (pattern.at[i] == '*') return "a name with a \"*\" inside; it can only end in \"*\"";
    return NULL;
}

static void read_names(struct callers *callers, const struct conf *conf, struct names *ret_names,
                       struct faults *faults) {
    if (conf->kind != CONF_ARRAY && conf->kind != CONF_LIST) {
        faults_addf(faults, FAULT_INVALID, where_of(callers->arena, conf),
                    "%s has to be a list of stage names, as in [ \"load-test\", \"team-a-*\" ], not %s", conf->name,
                    conf_shown(callers->arena, conf));
        return;
    }
    ret_names->items = arena_array_of(callers->arena, const char *, conf->count);
    for (size_t i = 0; i < conf->count; i++) {
        const struct conf *item = &conf->items[i];
        const char *what = item->kind == CONF_STRING ? stage_pattern_fault(item->string) : NULL;
        if (what) faults_addf(faults, FAULT_INVALID, where_of(callers->arena, item), "%s holds %s", conf->name, what);
        else if (item->kind == CONF_STRING)
            ret_names->items[ret_names->count++] = arena_strndup(callers->arena, item->string.at, item->string.len);
        else
            faults_addf(faults, FAULT_INVALID, where_of(callers->arena, item), "%s holds %s, which is no stage name",
                        conf->name, conf_shown(callers->arena, item));
    }
}

static void read_setting(struct callers *callers, struct caller *caller, const struct conf *conf,
                         struct faults *faults) {
    static const char *const known[] = {"name", "token_sha256", "certificate", "start", "see", "cancel"};
    if (strcmp(conf->name, "name") == 0) caller->name = read_string(callers, conf, faults);
    else if (strcmp(conf->name, "token_sha256") == 0) caller->token_sha256 = read_digest(callers, conf, faults);
    else if (strcmp(conf->name, "certificate") == 0) caller->certificate = read_string(callers, conf, faults);
    else {
        for (int right = 0; right < RIGHT_END; right++)
            if (strcmp(conf->name, right_words[right]) == 0) {
                read_names(callers, conf, &caller->rights[right], faults);
                return;
            }
        const char *near = text_nearest(conf->name, known, sizeof known / sizeof *known);
        faults_addf(faults, FAULT_UNDEFINED, where_of(callers->arena, conf), "a caller has no setting \"%s\"%s%s%s",
                    conf->name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

static void read_caller(struct callers *callers, struct caller *caller, const struct conf *conf,
                        struct faults *faults) {
    if (conf->kind != CONF_GROUP) {
        faults_addf(faults, FAULT_INVALID, where_of(callers->arena, conf),
                    "a caller is a group, as in { name = \"orca\"; … }");
        return;
    }
    for (size_t i = 0; i < conf->count; i++) read_setting(callers, caller, &conf->items[i], faults);
    if (!conf_find(conf, "name"))
        faults_addf(faults, FAULT_INVALID, where_of(callers->arena, conf), "a caller needs a name");
    if (!conf_find(conf, "token_sha256") && !conf_find(conf, "certificate"))
        faults_addf(faults, FAULT_INVALID, where_of(callers->arena, conf),
                    "a caller needs token_sha256 or certificate, or nobody could be it");
    if (!conf_find(conf, "see")) caller->rights[RIGHT_SEE] = caller->rights[RIGHT_START];
    if (!conf_find(conf, "cancel")) caller->rights[RIGHT_CANCEL] = caller->rights[RIGHT_START];
}

static bool both_are(const char *a, const char *b) {
    return a && b && strcmp(a, b) == 0;
}

/* Two callers that a request could be taken for. */
static void compare(struct callers *callers, const struct caller *caller, const struct caller *earlier,
                    const struct conf *conf, struct faults *faults) {
    const char *where = where_of(callers->arena, conf);
    if (both_are(caller->name, earlier->name))
        faults_addf(faults, FAULT_INVALID, where, "there is a caller \"%s\" already", caller->name);
    if (both_are(caller->token_sha256, earlier->token_sha256))
        faults_addf(faults, FAULT_INVALID, where, "another caller has the same token");
    if (both_are(caller->certificate, earlier->certificate))
        faults_addf(faults, FAULT_INVALID, where, "another caller has the same certificate");
}

static void read_list(struct callers *callers, const struct conf *top, const char *path, struct faults *faults) {
    const struct conf *list = conf_find(top, "callers");
    for (size_t i = 0; i < top->count; i++)
        if (&top->items[i] != list)
            faults_addf(faults, FAULT_UNDEFINED, where_of(callers->arena, &top->items[i]),
                        "there is no setting \"%s\" here; the file holds callers = ( … );", top->items[i].name);
    if (!list || list->kind != CONF_LIST) {
        faults_addf(faults, FAULT_INVALID, list ? where_of(callers->arena, list) : path,
                    "the file has to hold a list of groups: callers = ( { name = \"…\"; token_sha256 = \"…\"; start = "
                    "[ \"*\" ]; } );");
        return;
    }
    callers->count = list->count;
    callers->items = arena_array_of(callers->arena, struct caller, list->count);
    for (size_t i = 0; i < list->count; i++) {
        read_caller(callers, &callers->items[i], &list->items[i], faults);
        for (size_t j = 0; j < i; j++)
            compare(callers, &callers->items[i], &callers->items[j], &list->items[i], faults);
    }
}

struct callers *callers_load(const char *path, struct faults *faults) {
    struct arena *arena = arena_new();
    struct callers *callers = arena_new_of(arena, struct callers);
    callers->arena = arena;
    callers->references = 1;
    size_t before = faults->count;
    const struct conf *top = conf_file_read(arena, path, NULL, faults);
    if (top) read_list(callers, top, path, faults);
    if (faults->count == before) return callers;
    callers_unref(callers);
    return NULL;
}

struct callers *callers_ref(struct callers *callers) {
    if (callers) __atomic_add_fetch(&callers->references, 1, __ATOMIC_RELAXED);
    return callers;
}

void callers_unref(struct callers *callers) {
    if (callers && __atomic_sub_fetch(&callers->references, 1, __ATOMIC_ACQ_REL) == 0) arena_free(callers->arena);
}

const char *caller_name(const struct caller *caller) {
    return caller ? caller->name : NULL;
}

const struct caller *callers_find(const struct callers *callers, const char *authorization, const char *certificate,
                                  struct fault *fault) {
    const struct caller *found = NULL;
    for (size_t i = 0; certificate && i < callers->count; i++)
        if (callers->items[i].certificate && strcmp(callers->items[i].certificate, certificate) == 0)
            return &callers->items[i];
    if (!authorization) {
        fault_set(fault, FAULT_UNAUTHORIZED, NULL, "this gateway asks for a token: send it as Authorization: Bearer …");
        return NULL;
    }
    if (strncasecmp(authorization, "Bearer ", 7) != 0) {
        fault_set(fault, FAULT_UNAUTHORIZED, NULL, "the Authorization header has to begin with Bearer");
        return NULL;
    }
    char digest[HEX_LEN + 1];
    digest_sha256_hex(text_trim(text_of(authorization + 7)), digest);
    for (size_t i = 0; i < callers->count; i++) /* all of them, wherever it is found */
        if (callers->items[i].token_sha256 && digest_same(callers->items[i].token_sha256, digest, HEX_LEN))
            found = &callers->items[i];
    if (!found && strstr(authorization, "${"))
        fault_set(fault, FAULT_UNAUTHORIZED, NULL,
                  "the token is the name of one, \"${…}\", as it stands in orca.yml: orca's environment has no such "
                  "variable");
    else if (!found) fault_set(fault, FAULT_UNAUTHORIZED, NULL, "the token is nobody's");
    return found;
}

/* ---- who came before ---- */

void caller_memo_fini(struct caller_memo *memo) {
    callers_unref(memo->callers);
    if (memo->authorization) explicit_bzero(memo->authorization, strlen(memo->authorization));
    mem_free(memo->authorization);
    *memo = (struct caller_memo){0};
}

static bool remembers(const struct caller_memo *memo, const struct callers *callers, const char *authorization) {
    size_t n = strlen(authorization);
    return memo->callers == callers && strlen(memo->authorization) == n &&
           digest_same(memo->authorization, authorization, n);
}

const struct caller *callers_find_again(struct callers *callers, struct caller_memo *memo, const char *authorization,
                                        const char *certificate, struct fault *fault) {
    if (!memo || !authorization) return callers_find(callers, authorization, certificate, fault);
    if (remembers(memo, callers, authorization)) return memo->caller;
    const struct caller *caller = callers_find(callers, authorization, certificate, fault);
    if (!caller) return NULL;
    caller_memo_fini(memo);
    *memo = (struct caller_memo){callers_ref(callers), caller, mem_strdup(authorization)};
    return caller;
}

/* ---- what each may do ---- */

static bool matches(const char *pattern, const char *stage) {
    size_t n = strlen(pattern);
    if (n && pattern[n - 1] == '*') return strncmp(pattern, stage, n - 1) == 0;
    return strcmp(pattern, stage) == 0;
}

bool caller_may(const struct caller *caller, enum caller_right right, const char *stage) {
    if (!caller) return true;
    const struct names *names = &caller->rights[right];
    for (size_t i = 0; i < names->count; i++)
        if (matches(names->items[i], stage)) return true;
    return false;
}

bool caller_sees_all(const struct caller *caller) {
    if (!caller) return true;
    const struct names *names = &caller->rights[RIGHT_SEE];
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], "*") == 0) return true;
    return false;
}
