/* What is a finding, and what is not.
 *
 * A warning that comes without need is worse than none, so a path that leads nowhere counts only where the definition
 * can mean nothing else. The status, the progress and success_when have all replies of a step to be there: upstreams
 * leave them out while work is queued. An output has the reply by which its step succeeded, if its path can lead to one
 * value only, and does not end at a list with too few elements or at a null: those are answers too. The error has a
 * reply that failed. The rest of what rules look for may be missing at any time (message, found, the error in a reply
 * that is good), and templates with default() say themselves that something may be.
 *
 * Called by the moves of a run, and by the engine for headers, on any loop. */
#include "run/contract.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "call/http_date.h"
#include "run/mask.h"
#include "run/run.h"

#define PROGRESS_REPLIES 3                /* a step that was asked less often may have been done at once */
#define SECONDS_MAX INT64_C(253402300799) /* the end of the year 9999 */

static const struct stage_step *step_at(const struct run *run) {
    return &run->stage->steps[run->step];
}

static void put(const struct run_world *world, const struct run *run, const struct contract_note *note) {
    contract_put(world->contract, run, note, world->now_ms);
}

/* ---- kinds ---- */

static enum json_kind kind_of(enum json_kind kind) {
    return kind == JSON_INT ? JSON_REAL : kind; /* JSON has one kind of number */
}

/* The note without its setting. Is it one? A null is a value to come. */
static bool is_other_kind(struct contract *contract, size_t slot, enum json_kind kind, bool is_word,
                          struct contract_note *ret_note) {
    if (kind == JSON_NULL) return false;
    bool no_word = is_word && (kind == JSON_ARRAY || kind == JSON_OBJECT);
    enum json_kind first = no_word ? kind : contract_kind_first(contract, slot, kind_of(kind));
    if (!no_word && first == kind_of(kind)) return false;
    *ret_note = (struct contract_note){.kind = CONTRACT_TYPE,
                                       .expected = no_word ? "word" : json_kind_word(first),
                                       .found = json_kind_word(kind_of(kind))};
    return true;
}

/* ---- what was judged ---- */

static const char *const settings[2][VERDICT_PARTS] = {{"value", "progress", "message"},
                                                       {"callback.value", "callback.progress", "callback.message"}};

static void look_at_kinds(const struct run_world *world, const struct run *run, bool callback,
                          const struct jsonpath *const paths[VERDICT_PARTS], const struct verdict *verdict) {
    struct contract_note note;
    for (enum verdict_part part = 0; part < VERDICT_PARTS; part++) {
        if (verdict->stood[part] < VERDICT_KINDS) continue;
        enum json_kind kind = (enum json_kind)(verdict->stood[part] - VERDICT_KINDS);
        size_t slot = contract_slot(world->contract, run->step, callback, part);
        if (!is_other_kind(world->contract, slot, kind, part == VERDICT_VALUE, &note)) continue;
        note.step = step_at(run)->name;
        note.setting = settings[callback][part];
        note.path = jsonpath_source(paths[part]);
        put(world, run, &note);
    }
}

void contract_judged(const struct run_world *world, const struct run *run, bool callback,
                     const struct verdict *verdict) {
    if (!world->contract) return;
    const struct stage_step *step = step_at(run);
    const struct stage_rules *rules = callback ? &step->callback->rules : &step->rules;
    const struct jsonpath *const paths[] = {rules->value, rules->progress, rules->message};
    look_at_kinds(world, run, callback, paths, verdict);
    struct contract_note note = {.step = step->name};
    if (verdict->unknown_word) {
        note.kind = CONTRACT_WORD;
        note.setting = settings[callback][VERDICT_VALUE];
        note.path = jsonpath_source(rules->value);
        note.word = text_of(run->upstream_word);
        put(world, run, &note);
    }
    if (verdict->error_missing && !run->cancel_wanted) { /* what was canceled may be gone */
        note.kind = CONTRACT_MISSING;
        note.setting = callback ? "callback.error" : "error";
        note.path = jsonpath_source(rules->error_path);
        note.what = "a reply that failed had nothing there";
        put(world, run, &note);
    }
}

/* ---- outputs ---- */

static void put_output(const struct run_world *world, const struct run *run, const struct stage_output *output,
                       struct contract_note *note) {
    struct arena *scratch = arena_new();
    note->step = step_at(run)->name;
    note->setting = arena_printf(scratch, "outputs.%s", output->name);
    note->path = jsonpath_source(output->path);
    put(world, run, note);
    arena_free(scratch);
}

/* An output is null where its path led to nothing, or to a null. */
static void look_at_output(const struct run_world *world, const struct run *run, size_t slot,
                           const struct stage_output *output, const struct json *value, const struct json *body) {
    if (!output->path || !jsonpath_singular(output->path)) return;
    struct contract_note note = {.kind = CONTRACT_MISSING,
                                 .what = "the reply by which the step succeeded had nothing there"};
    enum json_kind kind = json_kind(value);
    if (kind == JSON_NULL ? jsonpath_misfits(output->path, body)
                          : is_other_kind(world->contract, slot, kind, false, &note))
        put_output(world, run, output, &note);
}

static void look_at_outputs(const struct run_world *world, const struct run *run, size_t slot,
                            const struct stage_output *outputs, size_t count, const struct json *made,
                            const struct json *body) {
    struct json_cursor cursor = {0};
    for (size_t i = 0; i < count; i++)
        look_at_output(world, run, slot + i, &outputs[i], json_seek(&cursor, made, text_of(outputs[i].name)), body);
}

void contract_outputs(const struct run_world *world, const struct run *run, const struct json *body,
                      const struct json *of_step, const struct json *of_stage) {
    struct contract *contract = world->contract;
    if (!contract) return;
    const struct stage *stage = run->stage;
    const struct stage_step *step = step_at(run);
    look_at_outputs(world, run, contract_output_slot(contract, run->step, 0), step->outputs, step->output_count,
                    of_step, body);
    if (run->step + 1 < stage->step_count) return; /* or the steps behind it are left out: it is not theirs */
    look_at_outputs(world, run, contract_output_slot(contract, stage->step_count, 0), stage->outputs,
                    stage->output_count, of_stage, body);
}

/* ---- what no reply had ---- */

static void put_missing(const struct run_world *world, const struct run *run, const char *setting, const char *path,
                        const char *what) {
    put(world, run,
        &(struct contract_note){
            .kind = CONTRACT_MISSING, .step = step_at(run)->name, .setting = setting, .path = path, .what = what});
}

void contract_step_over(const struct run_world *world, const struct run *run, bool in_time) {
    const struct run_seen *seen = &run->seen;
    if (!world->contract || !seen->replies) return;
    const struct stage_rules *rules = &step_at(run)->rules;
    if (in_time && rules->progress && !seen->progress && seen->replies >= PROGRESS_REPLIES)
        put_missing(world, run, "progress", jsonpath_source(rules->progress),
                    "no reply of a step that was done had anything there");
    if (!in_time && rules->value && !seen->value && !run->upstream_word)
        put_missing(world, run, "value", jsonpath_source(rules->value),
                    "no reply of a step that was not done within its time had a word there");
    if (!in_time && rules->success_when.holds && !seen->success_defined)
        put_missing(world, run, "success_when", rules->success_when.source,
                    "no reply of a step that was not done within its time had what it speaks of");
}

/* ---- calls that cannot be made ---- */

static bool is_in_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

static bool names(const char *what, const char *root) {
    for (const char *at = strstr(what, root); at; at = strstr(at + 1, root))
        if ((at == what || !is_in_name(at[-1])) && at[strlen(root)] == '.') return true;
    return false;
}

/* Does the sentence speak of a reply, and not of a parameter? */
static bool names_reply(const struct run *run, const char *what) {
    for (size_t i = 0; i < run->step_count; i++)
        if (names(what, run->stage->steps[i].name)) return true;
    return false;
}

void contract_refused(const struct run_world *world, const struct run *run, bool cancel, const struct fault *fault) {
    if (!world->contract || fault->kind != FAULT_UNDEFINED || !names_reply(run, fault->what)) return;
    put(world, run,
        &(struct contract_note){
            .kind = CONTRACT_MISSING, .step = cancel ? "cancel" : step_at(run)->name, .what = fault->what});
}

/* ---- headers ---- */

bool contract_date(struct text value, int64_t now_ms, int64_t *ret_wall_ms) {
    value = text_trim(value);
    if (!text_starts(value, "@")) return http_date_parse(value, now_ms, ret_wall_ms) || clock_parse(value, ret_wall_ms);
    struct text rest = {value.at + 1, value.len - 1}, number = {0}; /* RFC 9651, 3.3.7; parameters may follow */
    int64_t seconds;
    text_cut(&rest, ';', &number);
    if (!text_to_int(text_trim(number), &seconds) || seconds < 0 || seconds > SECONDS_MAX) return false;
    *ret_wall_ms = seconds * 1000;
    return true;
}

/* ---- links (RFC 8288, 3) ---- */

/* One parameter of a link: everything to the next ; or , that is not in quotes. */
static struct text take_param(struct text *rest) {
    bool quoted = false;
    size_t n = 0;
    for (; n < rest->len && (quoted || (rest->at[n] != ';' && rest->at[n] != ',')); n++) {
        if (quoted && rest->at[n] == '\\' && n + 1 < rest->len) n++;
        else if (rest->at[n] == '"') quoted = !quoted;
    }
    struct text param = {rest->at, n};
    *rest = (struct text){rest->at + n, rest->len - n};
    return text_trim(param);
}

/* rel="a b" or rel=a: is one of them this relation? */
static bool has_relation(struct text param, const char *relation) {
    struct text name, words = param, word;
    if (!text_cut(&words, '=', &name) || !text_is_nocase(text_trim(name), "rel")) return false;
    words = text_trim(words);
    if (words.len >= 2 && words.at[0] == '"') words = (struct text){words.at + 1, words.len - 2};
    while (text_cut(&words, ' ', &word))
        if (text_is_nocase(word, relation)) return true;
    return false;
}

static struct text link_in(struct text rest, const char *relation) {
    struct text target;
    while (text_cut(&rest, '<', &target) && text_cut(&rest, '>', &target)) {
        rest = text_trim(rest);
        while (rest.len && rest.at[0] == ';') {
            rest = (struct text){rest.at + 1, rest.len - 1};
            if (has_relation(take_param(&rest), relation)) return target;
        }
    }
    return (struct text){0};
}

struct text contract_link(const struct reply *reply, const char *relation) {
    struct text link = {0};
    for (size_t i = 0; i < reply->header_count && !link.len; i++)
        if (strcasecmp(reply->headers[i].name, "Link") == 0) link = link_in(text_of(reply->headers[i].value), relation);
    return link;
}

/* Drafts of the header said true and false. */
static bool says_no(struct text value) {
    return text_is_nocase(value, "false") || text_is(value, "?0");
}

/* A link that is cut leads nowhere, so a long one is left out. */
static const char *masked_link(struct arena *arena, struct run *run, struct text link) {
    if (link.len == 0 || link.len > CONTRACT_LINK_MAX) return NULL;
    return json_text(mask_value(run, arena, json_new_text(arena, link))).at;
}

static void note_header(struct contract *contract, struct run *run, const char *call, const struct reply *reply,
                        const struct reply_header *header, enum contract_kind kind, int64_t now_ms) {
    struct text value = text_trim(text_of(header->value));
    bool cancel = strcmp(call, "cancel") == 0, step = strcmp(call, "step") == 0;
    if (kind == CONTRACT_DEPRECATION && says_no(value)) return;
    struct arena *scratch = arena_new();
    struct contract_note note = {
        .kind = kind, .step = cancel ? "cancel" : step_at(run)->name, .setting = cancel || step ? NULL : call};
    if (!contract_date(value, now_ms, &note.at_ms)) note.at_ms = 0;
    note.link = masked_link(scratch, run, contract_link(reply, kind == CONTRACT_SUNSET ? "sunset" : "deprecation"));
    contract_put(contract, run, &note, now_ms);
    arena_free(scratch);
}

void contract_headers(struct contract *contract, struct run *run, const char *call, const struct reply *reply,
                      int64_t now_ms) {
    bool deprecated = false, ends = false;
    if (!contract || reply->phase != REPLY_ANSWERED) return;
    for (size_t i = 0; i < reply->header_count; i++) {
        const struct reply_header *header = &reply->headers[i];
        int first = header->name[0] | 0x20; /* most are neither: one look */
        if (first == 'd' && !deprecated && strcasecmp(header->name, "Deprecation") == 0) {
            deprecated = true;
            note_header(contract, run, call, reply, header, CONTRACT_DEPRECATION, now_ms);
        } else if (first == 's' && !ends && strcasecmp(header->name, "Sunset") == 0) {
            ends = true;
            note_header(contract, run, call, reply, header, CONTRACT_SUNSET, now_ms);
        }
    }
}
