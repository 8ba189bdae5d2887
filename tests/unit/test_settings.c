/* The options: every row of the table set in every place, ranges, precedence, mistakes, and the sample that must give
 * the defaults again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/settings.h"

struct loaded {
    struct arena *arena;
    struct settings settings;
    struct faults faults;
    bool ok;
};

static char directory[] = "/tmp/test_settings.XXXXXX";

static const char *file_of(struct loaded *l, const char *text) {
    const char *path = arena_printf(l->arena, "%s/stagedoor.conf", directory);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void load(struct loaded *l, const char *text, const char *const *environment, const char *const *flags) {
    *l = (struct loaded){.arena = arena_new()};
    faults_init(&l->faults);
    struct settings_input input = {.config = file_of(l, text), .flags = flags, .environment = environment};
    while (flags && flags[input.flag_count]) input.flag_count++;
    l->ok = settings_load(l->arena, &input, &l->settings, &l->faults);
}

static void unload(struct loaded *l) {
    faults_fini(&l->faults);
    arena_free(l->arena);
}

static void assert_fault(struct loaded *l, size_t i, const char *where, const char *what) {
    assert_true(i < l->faults.count);
    assert_string_equal(l->faults.items[i].what, what);
    const char *end = l->faults.items[i].where;
    if (strncmp(end, directory, strlen(directory)) == 0) end += strlen(directory) + 1;
    assert_string_equal(end, where);
}

static void count_difference(void *arg, const char *name, bool reload) {
    (void)reload;
    const char **last = arg;
    last[0] = name;
    last[1] = last[1] ? "several" : "one";
}

/* A value that is allowed and not the default. */
static const char *other_value(const struct settings_row *row) {
    if (strcmp(row->kind, "list") == 0) return "127.0.0.2:1";
    if (strcmp(row->kind, "boolean") == 0) return strcmp(row->preset, "true") == 0 ? "false" : "true";
    if (strcmp(row->kind, "integer") == 0) return "17";
    if (strcmp(row->kind, "duration") == 0) return "1234ms";
    if (strcmp(row->kind, "size") == 0) return "1000";
    if (strcmp(row->kind, "upstreams") == 0) return "ci.example.com rate=5/s";
    if (strcmp(row->name, "log_level") == 0) return "warn";
    if (strcmp(row->name, "log_format") == 0) return "json";
    if (strcmp(row->kind, "store") == 0) return "sqlite:/x/y.db";
    if (strcmp(row->name, "public_url") == 0) return "https://gw.example.com";
    return "/other";
}

static bool is_bare(const struct settings_row *row) {
    return strcmp(row->kind, "boolean") == 0 || strcmp(row->kind, "integer") == 0;
}

/* tls_key and tls_client_ca want a certificate. */
static const char *beside_it(const struct settings_row *row) {
    return strncmp(row->name, "tls_", 4) == 0 && strcmp(row->name, "tls_certificate") != 0
               ? "tls_certificate = \"/c\";\n"
               : "";
}

static void assert_only(struct loaded *l, const struct settings_row *row) {
    struct loaded plain;
    load(&plain, beside_it(row), NULL, NULL);
    if (!l->ok) print_message("%s: %s: %s\n", row->name, l->faults.items[0].where, l->faults.items[0].what);
    assert_true(l->ok);
    const char *different[2] = {NULL, NULL};
    settings_each_difference(&plain.settings, &l->settings, count_difference, different);
    assert_non_null(different[0]);
    assert_string_equal(different[0], row->name);
    assert_string_equal(different[1], "one");
    unload(&plain);
    unload(l);
}

static void test_every_row(void **state) {
    (void)state;
    for (size_t i = 0; i < settings_row_count; i++) {
        const struct settings_row *row = &settings_rows[i];
        const char *value = other_value(row), *quote = is_bare(row) ? "" : "\"";
        char text[256], variable[128], flag[128], flag_equals[256];
        struct loaded l;
        snprintf(text, sizeof text, "%s%s = %s%s%s;", beside_it(row), row->name, quote, value, quote);
        load(&l, text, NULL, NULL);
        assert_only(&l, row);
        snprintf(variable, sizeof variable, "STAGEDOOR_%s=%s", row->name, value);
        for (char *s = variable; *s != '='; s++)
            if (*s >= 'a' && *s <= 'z') *s = (char)(*s - 'a' + 'A');
        load(&l, beside_it(row), (const char *const[]){"PATH=/bin", variable, NULL}, NULL);
        assert_only(&l, row);
        snprintf(flag, sizeof flag, "--%s", row->name);
        for (char *s = flag; *s; s++)
            if (*s == '_') *s = '-';
        snprintf(flag_equals, sizeof flag_equals, "%s=%s", flag, value);
        load(&l, beside_it(row), NULL, (const char *const[]){flag_equals, NULL});
        assert_only(&l, row);
        bool is_bool = strcmp(row->kind, "boolean") == 0;
        load(&l, beside_it(row), NULL, (const char *const[]){flag, is_bool ? NULL : value, NULL});
        assert_only(&l, row);
    }
}

static void test_every_range(void **state) {
    (void)state;
    for (size_t i = 0; i < settings_row_count; i++) {
        const struct settings_row *row = &settings_rows[i];
        const char *dots = strstr(row->allowed, "..");
        if (!dots) continue;
        char good[128], text[256];
        for (int side = 0; side < 2; side++) {
            if (side) snprintf(good, sizeof good, "%s", dots + 2);
            else snprintf(good, sizeof good, "%.*s", (int)(dots - row->allowed), row->allowed);
            const char *quote = is_bare(row) ? "" : "\"";
            struct loaded l;
            snprintf(text, sizeof text, "%s = %s%s%s;", row->name, quote, good, quote);
            load(&l, text, NULL, NULL);
            assert_true(l.ok);
            unload(&l);
            const char *bad = strcmp(row->kind, "duration") == 0 ? (side ? "3651d" : "-1s")
                              : !side                            ? "-1"
                              : strcmp(row->kind, "size") == 0   ? "1000GiB"
                                                                 : "999999999";
            snprintf(text, sizeof text, "%s = %s%s%s;", row->name, quote, bad, quote);
            load(&l, text, NULL, NULL);
            if (l.ok) print_message("taken: %s\n", text);
            assert_false(l.ok);
            assert_fault(&l, 0, "stagedoor.conf:1", l.faults.items[0].what);
            assert_non_null(strstr(l.faults.items[0].what, row->name));
            unload(&l);
        }
    }
}

static void test_precedence(void **state) {
    (void)state;
    struct loaded l;
    const char *const environment[] = {"STAGEDOOR_LOOPS=2", "STAGEDOOR_MAX_RUNS=3", "STAGEDOOR_MAX_HEADERS=", NULL};
    const char *const flags[] = {"--loops", "1", NULL};
    load(&l, "loops = 4; max_runs = 5; max_headers = 6; max_json_depth = 7;", environment, flags);
    assert_true(l.ok);
    assert_int_equal(l.settings.loops, 1);
    assert_int_equal(l.settings.max_runs, 3);
    assert_int_equal(l.settings.max_headers, 6);
    assert_int_equal(l.settings.max_json_depth, 7);
    unload(&l);
}

static void test_lists_and_booleans(void **state) {
    (void)state;
    struct loaded l;
    load(&l, "open = true; listen = [ \"a:1\", \"b:2\" ];", NULL, NULL);
    assert_true(l.ok && l.settings.open);
    assert_int_equal(l.settings.listen.count, 2);
    assert_string_equal(l.settings.listen.items[1], "b:2");
    unload(&l);
    load(&l, "open = true;", (const char *const[]){"STAGEDOOR_LISTEN=a:1, b:2", NULL},
         (const char *const[]){"--no-open", NULL});
    assert_true(l.ok && !l.settings.open);
    assert_int_equal(l.settings.listen.count, 2);
    assert_string_equal(l.settings.listen.items[1], "b:2");
    unload(&l);
    load(&l, "", NULL, (const char *const[]){"--listen=a:1,b:2", "--open=yes", "--listen", "unix:/x", NULL});
    assert_true(l.ok && l.settings.open);
    assert_int_equal(l.settings.listen.count, 3);
    assert_string_equal(l.settings.listen.items[2], "unix:/x");
    unload(&l);
}

static void test_paths(void **state) {
    (void)state;
    struct loaded l;
    char want[128];
    load(&l, "secrets = \"s\"; log_file = \"/var/log/x\";", (const char *const[]){"STAGEDOOR_CALLERS=c", NULL},
         (const char *const[]){"--store=sqlite:here.db", NULL});
    snprintf(want, sizeof want, "%s/stages.d", directory);
    assert_string_equal(l.settings.stages, want);
    snprintf(want, sizeof want, "%s/s", directory);
    assert_string_equal(l.settings.secrets, want);
    assert_string_equal(l.settings.log_file, "/var/log/x");
    assert_string_equal(l.settings.callers, "c");
    assert_string_equal(l.settings.store, "sqlite:here.db");
    unload(&l);
    load(&l, "", NULL, NULL);
    snprintf(want, sizeof want, "sqlite:%s/stagedoor.db", directory);
    assert_string_equal(l.settings.store, want);
    assert_string_equal(l.settings.log_file, "-");
    assert_string_equal(l.settings.secrets, "");
    unload(&l);
}

static void test_file_mistakes(void **state) {
    (void)state;
    struct loaded l;
    load(&l,
         "lisen = [ \"a\" ];\nloops = \"2\";\nopen = \"yes\";\nretention = 30;\nlog_level = \"inf\";\n"
         "store = \"postgresql://x\";\nlisten = [ 1 ];\nmax_body_size = \"1GiB\";\nfoo = 1;\nhead_timeout = \"5x\";\n"
         "listen_ = [ ];",
         NULL, NULL);
    assert_false(l.ok);
    assert_fault(&l, 0, "stagedoor.conf:1", "unknown option \"lisen\"; did you mean \"listen\"?");
    assert_fault(&l, 1, "stagedoor.conf:2",
                 "loops must be a whole number, without quotes, and here is the string \"2\"");
    assert_fault(&l, 2, "stagedoor.conf:3",
                 "open must be true or false, without quotes, and here is the string \"yes\"");
    assert_fault(&l, 3, "stagedoor.conf:4",
                 "retention must be a duration with its unit, in quotes, such as \"30s\", and here is the number 30");
    assert_fault(&l, 4, "stagedoor.conf:5",
                 "log_level: \"inf\" is not one of debug|info|warn|error; did you mean \"info\"?");
    assert_fault(&l, 5, "stagedoor.conf:6",
                 "store: PostgreSQL is not supported by this version; write \"sqlite:PATH\"");
    assert_fault(&l, 6, "stagedoor.conf:7", "listen holds strings, and here is the number 1");
    assert_fault(&l, 7, "stagedoor.conf:8", "max_body_size: 1GiB is out of range: 64 to 64MiB are possible");
    assert_fault(&l, 8, "stagedoor.conf:9", "unknown option \"foo\"");
    assert_fault(&l, 9, "stagedoor.conf:10", l.faults.items[9].what);
    assert_fault(&l, 10, "stagedoor.conf:11", "unknown option \"listen_\"; did you mean \"listen\"?");
    assert_int_equal(l.faults.count, 11);
    unload(&l);
}

static void test_other_mistakes(void **state) {
    (void)state;
    struct loaded l;
    const char *const environment[] = {
        "STAGEDOOR_LOPS=1",       "STAGEDOOR_SECRET_X=1",       "STAGEDOOR_URL=http://x", "STAGEDOOR_TOKEN=x",
        "STAGEDOOR_TOKEN_FILE=x", "STAGEDOOR_SERVICE_HOST=x",   "STAGEDOOR_PORT=tcp://x", "STAGEDOOR_PORT_8095_TCP=x",
        "STAGEDOOR_LOOPS=x",      "STAGEDOOR_SOMETHING_ELSE=1", "STAGEDOOR_OPEN=perhaps", NULL};
    const char *const flags[] = {"--lop=1",    "--loops",        "999",      "stray",
                                 "--no-loops", "--no-open=true", "--stages", NULL};
    load(&l, "", environment, flags);
    assert_false(l.ok);
    size_t i = 0;
    assert_fault(&l, i++, "STAGEDOOR_LOPS", "unknown environment variable; did you mean STAGEDOOR_LOOPS?");
    assert_fault(&l, i++, "STAGEDOOR_LOOPS", "loops: \"x\" is not a whole number");
    assert_fault(&l, i++, "STAGEDOOR_SOMETHING_ELSE",
                 "unknown environment variable: no option is called \"something_else\"");
    assert_fault(&l, i++, "STAGEDOOR_OPEN", "open: \"perhaps\" is neither true nor false");
    assert_fault(&l, i++, "--lop", "unknown flag; did you mean --loops?");
    assert_fault(&l, i++, "--loops", "loops: 999 is out of range: 0 to 256 are possible");
    assert_fault(&l, i++, "stray", "unexpected argument");
    assert_fault(&l, i++, "--no-loops", "unknown flag; did you mean --loops?");
    assert_fault(&l, i++, "--open", "--no-… takes no value");
    assert_fault(&l, i++, "--stages", "its value is missing");
    assert_int_equal(l.faults.count, i);
    unload(&l);
    load(&l, "tls_key = \"/k\"; public_url = \"gw\"; user_agent = \"a\\nb\";", NULL, NULL);
    assert_fault(&l, 0, "tls_key", "tls_key needs tls_certificate");
    assert_fault(&l, 1, "public_url", "public_url: \"gw\" does not begin with http:// or https://");
    assert_fault(&l, 2, "user_agent", "user_agent holds a control character");
    assert_int_equal(l.faults.count, 3);
    unload(&l);
}

static void test_config_found(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct faults faults;
    struct settings settings;
    char variable[128];
    faults_init(&faults);
    snprintf(variable, sizeof variable, "STAGEDOOR_CONFIG=%s/none.conf", directory);
    struct settings_input input = {.environment = (const char *const[]){variable, NULL}};
    assert_false(settings_load(arena, &input, &settings, &faults));
    assert_non_null(strstr(faults.items[0].what, "none.conf cannot be read"));
    input = (struct settings_input){.config = NULL};
    assert_true(settings_load(arena, &input, &settings, &faults)); /* there is no ./stagedoor.conf, and that is fine */
    assert_null(settings.config);
    assert_string_equal(settings.stages, "stages.d");
    faults_fini(&faults);
    arena_free(arena);
}

static void test_sample_gives_defaults(void **state) {
    (void)state;
    struct buf sample;
    buf_init(&sample, 1 << 20);
    settings_print_sample(&sample);
    struct loaded with, without;
    load(&with, buf_cstr(&sample), NULL, NULL);
    load(&without, "", NULL, NULL);
    if (with.faults.count) print_message("%s: %s\n", with.faults.items[0].where, with.faults.items[0].what);
    assert_true(with.ok && without.ok);
    const char *different[2] = {NULL, NULL};
    settings_each_difference(&with.settings, &without.settings, count_difference, different);
    assert_null(different[0]);
    for (size_t i = 0; i < settings_row_count; i++) {
        char line[96];
        snprintf(line, sizeof line, "\n%s = ", settings_rows[i].name);
        assert_non_null(strstr(buf_cstr(&sample), line));
    }
    unload(&with);
    unload(&without);
    buf_fini(&sample);
}

static void test_upstreams(void **state) {
    (void)state;
    struct loaded l;
    load(&l,
         "upstreams = ( { host = \"API.github.com\"; concurrency = 20; rate = \"10/s\"; gap = \"1s\"; },\n"
         "  { host = \"ci:8443\"; breaker = { ratio = 0.25; pause = \"1m\"; }; } );",
         NULL, NULL);
    assert_true(l.ok);
    assert_int_equal(l.settings.upstreams.count, 2);
    const struct limits_upstream *items = l.settings.upstreams.items;
    assert_string_equal(items[0].host, "api.github.com");
    assert_int_equal(items[0].limits.concurrency, 20);
    assert_int_equal(items[0].limits.gap_ms, 1000);
    assert_int_equal(items[0].limits.breaker.window_ms, 0);
    assert_int_equal(items[1].limits.breaker.window_ms, 60000);
    assert_int_equal(items[1].limits.breaker.pause_ms, 60000);
    struct loaded flags;
    const char *const same[] = {"--upstreams", "api.github.com concurrency=20 rate=10/s gap=1s", "--upstreams",
                                "ci:8443 breaker.ratio=0.25 breaker.pause=1m", NULL};
    load(&flags, "", NULL, same);
    const char *different[2] = {NULL, NULL};
    settings_each_difference(&l.settings, &flags.settings, count_difference, different);
    assert_null(different[0]);
    unload(&flags);
    unload(&l);
}

static void test_upstreams_with_mistakes(void **state) {
    (void)state;
    static const struct {
        const char *text, *where, *what;
    } rows[] = {
        {"upstreams = 5;", "stagedoor.conf:1",
         "upstreams must be a list of groups: ( { host = \"…\"; … }, … ), and here is the number 5"},
        {"upstreams = ( { rate = \"5/s\"; } );", "stagedoor.conf:1",
         "upstreams: an upstream needs a host: host = \"…\""},
        {"upstreams = ( { host = \"a\";\n rat = \"5/s\"; } );", "stagedoor.conf:2",
         "upstreams: unknown setting \"rat\"; did you mean \"rate\"?"},
        {"upstreams = ( { host = \"a\"; breaker = {\n ratio = 2; }; } );", "stagedoor.conf:2",
         "upstreams: breaker.ratio: 2 is out of range: 0.01 to 1 are possible"},
        {"upstreams = ( { host = \"a\"; breaker = true; } );", "stagedoor.conf:1", "upstreams: breaker cannot be true"},
        {"upstreams = ( { host = \"a\"; rate = { }; } );", "stagedoor.conf:1", "upstreams: rate cannot be a group { }"},
        {"upstreams = ( { host = \"a\"; gap = \"1s\"; }, { host = \"A\"; gap = \"1s\"; } );", "stagedoor.conf:1",
         "upstreams: a is there twice"},
        {"upstreams = ( { host = \"a\"; } );", "stagedoor.conf:1",
         "upstreams: nothing is limited: say concurrency, rate, gap or breaker"},
        {"upstreams = ( \"a\", { host = \"b\"; } );", "stagedoor.conf:1",
         "upstreams: holds groups { host = \"…\"; … }, and here is the string \"a\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct loaded l;
        load(&l, rows[i].text, NULL, NULL);
        assert_false(l.ok);
        assert_fault(&l, 0, rows[i].where, rows[i].what);
        unload(&l);
    }
    struct loaded l;
    load(&l, "", (const char *const[]){"STAGEDOOR_UPSTREAMS=a rate=5/s, b rate=0/s", NULL}, NULL);
    assert_false(l.ok);
    assert_string_equal(l.faults.items[0].where, "STAGEDOOR_UPSTREAMS");
    unload(&l);
}

/* After a reload: what may change has its new value, what may not the one that is running. */
static void test_fixed_options_are_kept(void **state) {
    (void)state;
    struct loaded running, next;
    for (size_t i = 0; i < settings_row_count; i++) {
        struct buf line;
        buf_init(&line, 4096);
        const struct settings_row *row = &settings_rows[i];
        buf_addf(&line, is_bare(row) ? "%s%s = %s;" : "%s%s = \"%s\";", beside_it(row), row->name, other_value(row));
        load(&running, beside_it(row), NULL, NULL);
        load(&next, buf_cstr(&line), NULL, NULL);
        assert_true(running.ok && next.ok);
        settings_keep_fixed(&running.settings, &next.settings);
        const char *different[2] = {NULL, NULL};
        settings_each_difference(&running.settings, &next.settings, count_difference, different);
        if (row->reload) assert_string_equal(different[0], row->name);
        else assert_null(different[0]);
        unload(&next);
        unload(&running);
        buf_fini(&line);
    }
}

static void test_help_names_every_flag(void **state) {
    (void)state;
    struct buf help;
    buf_init(&help, 1 << 20);
    settings_print_help(&help);
    for (size_t i = 0; i < settings_row_count; i++) {
        char flag[96];
        snprintf(flag, sizeof flag, "\n  --%s", settings_rows[i].name);
        for (char *s = flag; *s; s++)
            if (*s == '_') *s = '-';
        assert_non_null(strstr(buf_cstr(&help), flag));
    }
    buf_fini(&help);
}

#ifndef TINY_LIMITS
/* docs/options.md holds the sample between its fences. */
static void test_docs(void **state) {
    (void)state;
    struct buf sample, docs;
    buf_init(&sample, 1 << 20);
    buf_init(&docs, 1 << 20);
    settings_print_sample(&sample);
    FILE *f = fopen("docs/options.md", "r");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;) buf_addc(&docs, (char)c);
    fclose(f);
    const char *begin = strstr(buf_cstr(&docs), "<!-- begin: stagedoor serve --print-options -->\n```\n");
    assert_non_null(begin);
    begin = strstr(begin, "```\n") + 4;
    const char *end = strstr(begin, "```\n<!-- end -->");
    assert_non_null(end);
    assert_int_equal(end - begin, sample.len);
    assert_memory_equal(begin, buf_cstr(&sample), sample.len);
    buf_fini(&sample);
    buf_fini(&docs);
}
#endif

static int setup(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/stagedoor.conf", directory);
    unlink(path);
    return rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_every_range),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_lists_and_booleans),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_file_mistakes),
        cmocka_unit_test(test_other_mistakes),
        cmocka_unit_test(test_config_found),
        cmocka_unit_test(test_sample_gives_defaults),
        cmocka_unit_test(test_upstreams),
        cmocka_unit_test(test_upstreams_with_mistakes),
        cmocka_unit_test(test_fixed_options_are_kept),
        cmocka_unit_test(test_help_names_every_flag),
#ifndef TINY_LIMITS
        cmocka_unit_test(test_docs),
#endif
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
