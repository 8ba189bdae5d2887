/* `stagedoor export orca --check FILE`: what orca reads, against what the definitions would make of it now.
 *
 * Each difference is one line with its place in FILE, and below it what orca has (-) and what it should have (+).
 * Values that could be secrets are not shown. That the gateway's URL passes orca's rules is checked by the rules of
 * FILE itself; what a name resolves to is for `doctor`. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/export.h"
#include "cli/input.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "orca/compare.h"

struct shown {
    struct screen screen;
    const char *file;
    size_t count;
};

struct check {
    const struct export_expected *expected;
    struct compare compare;
    const struct json *differences;
    struct url_rules_breach breaches[URL_RULES_BREACHES_MAX];
    size_t breach_count;
};

static bool read_documents(struct compare *compare, const char *file, struct fault *fault) {
    struct buf bytes;
    struct yaml **documents = NULL;
    buf_init(&bytes, INPUT_MAX_BYTES);
    bool ok = input_read(file, &bytes, fault);
    if (ok) {
        struct text kept = {arena_strndup(compare->arena, buf_cstr(&bytes), bytes.len), bytes.len};
        ok = yaml_read(compare->arena, kept, input_name(file), &documents, &compare->document_count, fault);
        compare->documents = documents;
    }
    buf_fini(&bytes);
    return ok;
}

/* ---- for people ---- */

static void print_line(const struct shown *s, char sign, struct text line) {
    struct buf out;
    buf_init(&out, INPUT_MAX_BYTES);
    buf_addf(&out, "  %c ", sign);
    screen_clean(&out, &s->screen, line);
    fprintf(s->screen.to, "%s\n", buf_cstr(&out));
    buf_fini(&out);
}

/* The lines that `value` has and `other` has not in the same place, counted from either end. */
static void print_value(const struct shown *s, char sign, const struct json *value, const struct json *other) {
    struct buf text, against;
    buf_init(&text, INPUT_MAX_BYTES);
    buf_init(&against, INPUT_MAX_BYTES);
    json_write_text(&text, value);
    json_write_text(&against, other);
    struct text rest = text_trim(buf_text(&text)), behind = text_trim(buf_text(&against)), line, unlike;
    while (text_cut(&rest, '\n', &line)) {
        bool same = text_cut(&behind, '\n', &unlike) && text_same(line, unlike);
        if (!same) print_line(s, sign, line);
    }
    buf_fini(&against);
    buf_fini(&text);
}

static const char *sentence_of(const struct json *one) {
    bool missing = strcmp(json_gets_text(one, "what"), "missing") == 0;
    bool extra = strcmp(json_gets_text(one, "what"), "extra") == 0;
    if (strcmp(json_gets_text(one, "what"), "twice") == 0) return ": stands there in two spellings, first in line ";
    if (json_gets_text(one, "field")) return missing ? ": is missing" : extra ? ": no export writes it" : "";
    return missing ? "is not there" : "no definition makes this entry any more, or it is there twice";
}

static void print_difference(struct shown *s, const struct json *one) {
    const char *field = json_gets_text(one, "field");
    int64_t line = json_int(json_gets(one, "line")), first = json_int(json_gets(one, "first"));
    const struct json *has = json_gets(one, "orca"), *should = json_gets(one, "stagedoor");
    struct buf out;
    buf_init(&out, INPUT_MAX_BYTES);
    screen_clean(&out, &s->screen, text_of(s->file));
    if (line) buf_addf(&out, ":%lld", (long long)line);
    buf_adds(&out, ": ");
    screen_clean(&out, &s->screen, text_of(json_gets_text(one, "type")));
    buf_adds(&out, ": ");
    if (field) screen_clean(&out, &s->screen, text_of(field));
    buf_adds(&out, sentence_of(one));
    if (first) buf_addf(&out, "%lld", (long long)first);
    fprintf(s->screen.to, "%s\n", buf_cstr(&out));
    if (json_kind(has) != JSON_NULL) print_value(s, '-', has, should);
    if (json_kind(should) != JSON_NULL) print_value(s, '+', should, has);
    buf_fini(&out);
    s->count++;
}

static void print_breach(struct shown *s, const struct url_rules_breach *breach) {
    struct buf value;
    buf_init(&value, INPUT_MAX_BYTES);
    if (breach->value) json_write(&value, breach->value);
    fprintf(s->screen.to, "%s: user-configured-url-restrictions: %s\n", s->file, breach->what);
    if (breach->setting) fprintf(s->screen.to, "  + %s: %s\n", breach->setting, buf_cstr(&value));
    buf_fini(&value);
    s->count++;
}

static void print_all(const struct check *c) {
    struct shown s = {.file = input_name(c->expected->file)};
    screen_init(&s.screen, stdout);
    for (size_t i = 0; i < json_size(c->differences); i++) print_difference(&s, json_at(c->differences, i));
    for (size_t i = 0; i < c->breach_count; i++) print_breach(&s, &c->breaches[i]);
    if (s.count) printf("%zu difference%s\n", s.count, s.count == 1 ? "" : "s");
    else printf("%s is what it should be\n", s.file);
}

/* ---- for programs ---- */

static void print_json(const struct check *c, bool ok) {
    struct arena *arena = c->expected->arena;
    struct json *all = json_new_object(arena), *restrictions = json_new_array(arena);
    for (size_t i = 0; i < c->breach_count; i++) {
        struct json *one = json_new_object(arena);
        json_set(one, "setting", json_new_string(arena, c->breaches[i].setting));
        json_set(one, "value", c->breaches[i].value);
        json_set(one, "what", json_new_string(arena, c->breaches[i].what));
        json_push(restrictions, one);
    }
    json_set(all, "ok", json_new_bool(arena, ok));
    json_set(all, "differences", c->differences);
    json_set(all, "restrictions", restrictions);
    report_print_json(stdout, all);
}

int export_check(const struct export_expected *expected) {
    struct check c = {.expected = expected,
                      .compare = {.arena = expected->arena,
                                  .entries = expected->entries,
                                  .base_url = expected->base_url,
                                  .wanted = expected->wanted,
                                  .arg = expected->arg}};
    struct fault fault;
    if (!read_documents(&c.compare, expected->file, &fault) ||
        !compare_check(&c.compare, input_name(expected->file), &fault)) {
        screen_fault("export", &fault);
        return EXIT_USAGE;
    }
    struct url_rules rules = compare_url_rules(&c.compare);
    c.differences = compare_entries(&c.compare);
    c.breach_count = url_rules_check(expected->arena, &rules, &expected->url, &expected->host, c.breaches);
    bool ok = !c.breach_count && !json_size(c.differences);
    if (expected->json) print_json(&c, ok);
    else print_all(&c);
    return ok ? EXIT_DONE : EXIT_FAILED;
}
