/* `stagedoor export orca`: every stage as a native one of Spinnaker, as YAML for orca-local.yml.
 *
 * Definitions are compiled here as the gateway does; one that is broken ends the export, since a list without it, once
 * pasted, would take its stage away from Spinnaker. No token is written unless a file with it is named: orca takes it
 * from its environment. */
#include "cli/export.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "lang/url.h"
#include "orca/preconfigured.h"
#include "orca/url_rules.h"
#include "orca/yaml_write.h"
#include "stage/catalog.h"

#define OUTPUT_MAX (64 * 1024 * 1024)
#define TOKEN_MAX 16384
#define TOKEN_ENV "STAGEDOOR_TOKEN"

struct export {
    struct arena *arena;
    const struct export_options *given;
    struct settings settings;
    struct catalog *catalog; /* NULL: the generic entry */
    struct preconfigured_form form;
    struct url url; /* of the form, taken apart */
    struct url_rules_host host;
    const struct json *needed; /* restrictions */
    struct json *entries;
    bool from_environment; /* orca's token */
};

/* ---- how the gateway is reached ---- */

/* An address leads to itself, localhost to this machine; what other names lead to is not asked. */
static struct url_rules_host host_of(struct arena *arena, const struct url *url) {
    const char **address = arena_array_of(arena, const char *, 1);
    unsigned char bytes[16];
    bool bracketed = url->host.len > 2 && url->host.at[0] == '[';
    *address = arena_strndup(arena, url->host.at + bracketed, url->host.len - (bracketed ? 2 : 0));
    if (text_is_nocase(url->host, "localhost")) *address = "127.0.0.1";
    bool known = inet_pton(AF_INET, *address, bytes) == 1 || inet_pton(AF_INET6, *address, bytes) == 1;
    return (struct url_rules_host){.addresses = address, .address_count = known};
}

/* What of orca's presets has to change so that it calls the gateway; no rule is loosened without need, since they guard
 * orca against its users. */
static void find_needed(struct export *e) {
    struct url_rules_breach breaches[URL_RULES_BREACHES_MAX];
    e->host = host_of(e->arena, &e->url);
    size_t count = url_rules_check(e->arena, &url_rules_presets, &e->url, &e->host, breaches);
    struct json *needed = json_new_object(e->arena);
    for (size_t i = 0; i < count; i++)
        if (breaches[i].setting) json_set(needed, breaches[i].setting, breaches[i].value);
    e->needed = needed;
}

static bool is_name(const char *name) {
    return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")] == 0;
}

static bool check_prefix(const char *prefix, struct fault *fault) {
    if (is_name(prefix) && strlen(prefix) <= STAGE_NAME_MAX) return true;
    return fault_set(fault, FAULT_INVALID, "--type-prefix", "it has letters, digits, - _ and ., at most %d",
                     STAGE_NAME_MAX);
}

static bool read_token(struct export *e, const char *file, struct fault *fault) {
    struct buf bytes;
    buf_init(&bytes, TOKEN_MAX);
    bool ok = input_read(file, &bytes, fault);
    struct text token = text_trim(buf_text(&bytes));
    for (size_t i = 0; ok && i < token.len; i++)
        if (token.at[i] <= ' ' || token.at[i] > '~')
            ok = fault_set(fault, FAULT_INVALID, file, "a token has neither blanks nor control characters");
    if (ok && text_holds(token, "${"))
        ok = fault_set(fault, FAULT_INVALID, file, "the token holds \"${\", which Spring would replace");
    if (ok && token.len == 0) ok = fault_set(fault, FAULT_INVALID, file, "the token is empty");
    if (ok) e->form.authorization = arena_printf(e->arena, "Bearer %.*s", TEXT_ARG(token));
    buf_fini(&bytes);
    return ok;
}

/* Spring puts a variable of orca's environment in place of its name; a ':' would begin a default value. */
static bool find_token(struct export *e, struct fault *fault) {
    const struct export_options *given = e->given;
    const char *name = given->token_env ? given->token_env : TOKEN_ENV;
    bool asked = given->token_env || given->token_file;
    if (given->token_file) return read_token(e, given->token_file, fault);
    if (given->no_token || (!asked && !e->settings.callers[0])) return true;
    if (!is_name(name) || strchr("-.0123456789", name[0]))
        return fault_set(fault, FAULT_INVALID, "--token-env", "\"%s\" is not the name of a variable", name);
    e->form.authorization = arena_printf(e->arena, "Bearer ${%s}", name);
    e->from_environment = true;
    return true;
}

/* ---- which stages ---- */

static bool selected(const struct export *e, const char *name) {
    struct text rest = text_of(e->given->only), word;
    if (!e->given->only) return true;
    while (text_cut(&rest, ',', &word)) {
        word = text_trim(word);
        if (fnmatch(arena_strndup(e->arena, word.at, word.len), name, 0) == 0) return true;
    }
    return false;
}

/* Each of --only has to mean something: a name with a slip in it would leave a stage out. */
static bool check_only(struct export *e, struct fault *fault) {
    struct text rest = text_of(e->given->only), word;
    while (e->given->only && text_cut(&rest, ',', &word)) {
        const char *pattern = arena_strndup(e->arena, text_trim(word).at, text_trim(word).len);
        bool found = false;
        for (size_t i = 0; i < e->catalog->count && !found; i++)
            found = fnmatch(pattern, e->catalog->entries[i].name, 0) == 0;
        const char *near = found ? NULL : catalog_nearest(e->catalog, text_of(pattern));
        if (!found)
            return fault_set(fault, FAULT_NOT_FOUND, "--only", "there is no stage \"%s\" in %s%s%s%s", pattern,
                             e->settings.stages, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    return true;
}

static void warn_defaults(struct export *e, const struct stage *stage) {
    for (size_t i = 0; i < stage->param_count; i++)
        if (preconfigured_default_lost(e->arena, &stage->params[i]))
            screen_say("export",
                       "%s: the default of %s holds \"${\", which orca would evaluate, so orca is not told of it",
                       stage->file, stage->params[i].name);
}

/* Where two entries have one type, orca offers one of them, and nobody knows which. */
static bool is_free(const struct stage *stage, const char *type, struct fault *fault) {
    if (preconfigured_type_taken(type))
        return fault_set(
            fault, FAULT_CONFLICT, stage->file,
            "orca has a stage of type \"%s\" itself, and would run that one: give --type-prefix, or another name",
            type);
    if (strcmp(stage->name, PRECONFIGURED_GENERIC) == 0 || strcmp(type, PRECONFIGURED_GENERIC) == 0)
        return fault_set(fault, FAULT_CONFLICT, stage->file,
                         "type \"%s\" is the one stage for all of `export orca --generic`: give the stage another name",
                         type);
    return true;
}

static bool add_stage(struct export *e, const struct stage *stage) {
    const struct json *entry = preconfigured_entry(e->arena, stage, &e->form);
    json_push(e->entries, entry);
    warn_defaults(e, stage);
    const char *type = json_gets_text(entry, "type");
    struct fault fault;
    if (is_free(stage, type, &fault)) return true;
    screen_fault("export", &fault);
    return false;
}

static bool add_entry(struct export *e, const struct catalog_entry *entry) {
    for (size_t i = 0; i < entry->fault_count; i++) screen_fault("export", &entry->faults[i]);
    if (entry->disabled) screen_say("export", "%s is left out: %s", entry->name, entry->disabled);
    if (entry->stage) return add_stage(e, entry->stage) && !entry->fault_count;
    return entry->disabled && !entry->fault_count;
}

static void drop_catalog(void *catalog) {
    catalog_unref(catalog);
}

static int load(struct export *e, struct fault *fault) {
    struct stage_context context;
    if (!local_context(&e->settings, &e->given->local, &context, fault)) return EXIT_USAGE;
    e->catalog = catalog_load(e->settings.stages, &context, NULL, 0, fault);
    if (!e->catalog) return EXIT_USAGE;
    arena_defer(e->arena, drop_catalog, e->catalog);
    return check_only(e, fault) ? EXIT_DONE : EXIT_USAGE;
}

/* Broken ones are told of by all their mistakes. */
static int collect(struct export *e) {
    struct fault fault;
    bool ok = true;
    e->entries = json_new_array(e->arena);
    if (e->given->generic) {
        json_push(e->entries, preconfigured_generic(e->arena, &e->form));
        return EXIT_DONE;
    }
    int status = load(e, &fault);
    if (status != EXIT_DONE) {
        screen_fault("export", &fault);
        return status;
    }
    for (size_t i = 0; i < e->catalog->count; i++)
        if (!e->catalog->entries[i].built_in && selected(e, e->catalog->entries[i].name))
            ok = add_entry(e, &e->catalog->entries[i]) && ok;
    if (!ok || json_size(e->entries) || e->given->check) return ok ? EXIT_DONE : EXIT_FAILED;
    screen_say("export", "there is no stage to export in %s", e->settings.stages);
    return EXIT_FAILED;
}

/* ---- writing ---- */

static const struct json *document_of(struct export *e) {
    struct json *webhook = json_new_object(e->arena), *document = json_new_object(e->arena);
    json_set(webhook, "preconfigured", e->entries);
    json_set(document, "webhook", webhook);
    if (json_size(e->needed)) json_set(document, "user-configured-url-restrictions", e->needed);
    return document;
}

static void add_comments(const struct export *e, struct buf *out) {
    buf_adds(
        out,
        "# Written by `stagedoor export orca`. Merge it into orca-local.yml, and restart orca: now, and whenever a\n"
        "# stage, its parameters or what people read of it have changed. `stagedoor export orca --check FILE`\n"
        "# says whether they have.\n");
    if (e->from_environment)
        buf_addf(out, "# The environment of orca has to have %s, the token of a caller of the gateway.\n",
                 e->given->token_env ? e->given->token_env : TOKEN_ENV);
    if (json_size(e->needed))
        buf_addf(out, "# user-configured-url-restrictions: without it orca does not call %s.\n", e->form.base_url);
}

static int print(struct export *e) {
    const struct json *document = document_of(e);
    struct buf out;
    if (e->given->json) {
        report_print_json(stdout, document);
        return EXIT_DONE;
    }
    buf_init(&out, OUTPUT_MAX);
    add_comments(e, &out);
    bool ok = yaml_write(&out, document);
    if (ok) fwrite(buf_cstr(&out), 1, out.len, stdout);
    else screen_say("export", "the list is larger than %d MiB", OUTPUT_MAX >> 20);
    buf_fini(&out);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

/* ---- the command ---- */

static bool wanted(void *arg, const char *stage) {
    return selected(arg, stage);
}

static int check(struct export *e) {
    struct export_expected expected = {.arena = e->arena,
                                       .file = e->given->check,
                                       .entries = e->entries,
                                       .base_url = e->form.base_url,
                                       .url = e->url,
                                       .host = e->host,
                                       .wanted = e->given->generic ? NULL : wanted,
                                       .arg = e,
                                       .json = e->given->json};
    return export_check(&expected);
}

static int run(struct export *e) {
    struct fault fault;
    if (!local_settings(e->arena, "export", &e->given->local, &e->settings)) return EXIT_USAGE;
    if (!check_prefix(e->form.type_prefix, &fault) || !find_token(e, &fault) ||
        !export_base_url(e->arena, &e->settings, &e->form.base_url, &e->url, &fault)) {
        screen_fault("export", &fault);
        return EXIT_USAGE;
    }
    find_needed(e);
    int status = collect(e);
    if (status != EXIT_DONE) return status;
    return e->given->check ? check(e) : print(e);
}

int export_orca(const struct export_options *given) {
    int tokens = (given->token_env != NULL) + (given->token_file != NULL) + given->no_token;
    if (tokens > 1) return args_wrong("export", "--token-env, --token-file and --no-token exclude each other");
    if (given->generic && given->only)
        return args_wrong("export", "--generic is for all stages; --only does not go with it");
    struct export e = {.arena = arena_new(), .given = given};
    e.form.type_prefix = given->type_prefix ? given->type_prefix : "";
    e.form.before_2026_1 = given->before_2026_1;
    int status = run(&e);
    arena_free(e.arena);
    return status;
}
