/* The contract watch: what it finds in the replies of whole runs, what it does not, what of it is told, and that
 * nothing an upstream sends makes it grow. Runs are driven by the rig, so that what is asserted is what run_move says
 * to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/log.h"
#include "run/contract.h"
#include "run_rig.h"

#define DAY INT64_C(86400000)

static char log_path[] = "/tmp/test_contract.XXXXXX";
static struct contracts *all;

static int set_up(void **state) {
    (void)state;
    struct fault fault;
    int fd = mkstemp(log_path);
    assert_true(fd >= 0 && close(fd) == 0 && log_open(LOG_INFO, LOG_LOGFMT, log_path, &fault));
    all = contracts_new();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    contracts_free(all);
    log_close();
    unlink(log_path);
    memcpy(log_path + sizeof log_path - 7, "XXXXXX", 6);
    return 0;
}

/* How many lines of the log so far hold both. */
static unsigned told(const char *one, const char *other) {
    struct fault fault;
    char line[8192];
    unsigned count = 0;
    log_close();
    FILE *file = fopen(log_path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) count += strstr(line, one) && strstr(line, other);
    fclose(file);
    assert_true(log_open(LOG_INFO, LOG_LOGFMT, log_path, &fault));
    return count;
}

/* ---- runs that are watched ---- */

static void begin(struct rig *rig, const char *definition) {
    rig_begin(rig, definition, 1);
    rig->contract = contracts_begin(all, rig->stage, rig->now_ms);
    rig_start_with(rig, NULL);
    rig_stored(rig);
}

static void end(struct rig *rig) {
    contract_unref(rig->contract);
    rig_end(rig);
}

/* The replies to the first step: the last one ends the run, or the test goes on. */
static void answer_all(struct rig *rig, const char *const *bodies) {
    for (; *bodies; bodies++) {
        rig_answer(rig, 200, *bodies);
        rig_stored(rig);
        if (bodies[1]) rig_due(rig);
    }
}

/* "kind step setting path word-or-expected->found xTIMES\n" for each finding. */
static const char *found(const struct rig *rig) {
    static char lines[32 * 1024];
    struct arena *arena = arena_new();
    size_t n = 0;
    const struct json *shown = contract_show(rig->contract, arena, rig->now_ms),
                      *findings = json_gets(shown, "findings");
    lines[0] = 0;
    for (size_t i = 0; i < json_size(findings); i++) {
        const struct json *f = json_at(findings, i);
        const char *setting = json_gets_text(f, "setting"), *path = json_gets_text(f, "path"),
                   *word = json_gets_text(f, "word"), *expected = json_gets_text(f, "expected");
        n += (size_t)snprintf(lines + n, sizeof lines - n, "%s %s", json_gets_text(f, "kind"),
                              json_gets_text(f, "step"));
        if (setting) n += (size_t)snprintf(lines + n, sizeof lines - n, " %s", setting);
        if (path) n += (size_t)snprintf(lines + n, sizeof lines - n, " %s", path);
        if (word) n += (size_t)snprintf(lines + n, sizeof lines - n, " %s", word);
        if (expected)
            n += (size_t)snprintf(lines + n, sizeof lines - n, " %s->%s", expected, json_gets_text(f, "found"));
        n += (size_t)snprintf(lines + n, sizeof lines - n, " x%d\n", (int)json_int(json_gets(f, "times")));
    }
    arena_free(arena);
    return lines;
}

static int64_t more(const struct rig *rig) {
    struct arena *arena = arena_new();
    int64_t count = json_int(json_gets(contract_show(rig->contract, arena, rig->now_ms), "more"));
    arena_free(arena);
    return count;
}

static const char poll_of_words[] =
    "name = \"poll\"; request = { method = \"GET\"; url = \"http://up.test/\"; every = \"5s\"; timeout = \"60s\"; "
    "value = \"$.state\"; success = [ \"ok\" ]; failure = [ \"bad\" ]; canceled = [ \"gone\" ]; "
    "progress = \"$.percent\"; message = \"$.message\"; }; "
    "outputs = { report = \"$.report\"; every = \"$.items[*].id\"; maybe = \"{{ body.maybe | default('none') }}\"; };";

/* ---- words ---- */

static void test_a_word_is_told_of_once(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, poll_of_words);
    answer_all(&rig, (const char *[]){"{\"state\": \"odd\"}", "{\"state\": \"odd\"}", "{\"state\": \"Odd\"}", NULL});
    assert_string_equal(found(&rig), "word request value $.state odd x2\nword request value $.state Odd x1\n");
    assert_int_equal(told("event=contract_finding", "kind=word"), 2);
    assert_int_equal(told("level=warn", "word=odd what=\"no list of the definition names \\\"odd\\\"\""), 1);
    end(&rig);
    begin(&rig, poll_of_words); /* another run of the same definition */
    answer_all(&rig, (const char *[]){"{\"state\": \"odd\"}", NULL});
    assert_string_equal(found(&rig), "word request value $.state odd x3\nword request value $.state Odd x1\n");
    assert_int_equal(told("event=contract_finding", "kind=word"), 2);
    end(&rig);
}

static void test_times_are_those_of_the_first_and_the_last(void **state) {
    (void)state;
    struct rig rig;
    char first[CLOCK_TEXT_SIZE], last[CLOCK_TEXT_SIZE];
    begin(&rig, poll_of_words);
    clock_format(rig.now_ms, first);
    answer_all(&rig, (const char *[]){"{\"state\": \"odd\"}", "{\"state\": \"odd\"}", NULL});
    clock_format(rig.now_ms, last);
    struct arena *arena = arena_new();
    const struct json *shown = contract_show(rig.contract, arena, rig.now_ms),
                      *f = json_at(json_gets(shown, "findings"), 0);
    assert_string_not_equal(first, last);
    assert_string_equal(json_gets_text(shown, "since"), first);
    assert_string_equal(json_gets_text(f, "first"), first);
    assert_string_equal(json_gets_text(f, "last"), last);
    assert_string_equal(json_gets_text(f, "run"), RIG_ID);
    assert_string_equal(json_gets_text(f, "what"), "no list of the definition names \"odd\"");
    arena_free(arena);
    end(&rig);
}

static void test_words_of_callbacks(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"running\"}");
    rig_call_back(&rig, 1, "m1", "{\"state\": \"odd\"}");
    assert_string_equal(found(&rig), "word status callback.value $.state odd x1\n");
    end(&rig);
}

static void test_new_words_without_end_are_only_counted(void **state) {
    (void)state;
    struct rig rig;
    char body[400], tail[300];
    memset(tail, 'x', sizeof tail);
    begin(&rig, poll_of_words);
    rig.run->created_ms = rig.run->step_began_ms = rig.now_ms + DAY; /* a long run */
    for (int i = 0; i < 500; i++) {
        snprintf(body, sizeof body, "{\"state\": \"%d%.*s\"}", i, 250, tail);
        rig_answer(&rig, 200, body);
        rig_due(&rig);
    }
    const char *lines = found(&rig);
    unsigned count = 0;
    for (const char *at = lines; (at = strchr(at, '\n')); at++) count++;
    assert_int_equal(count, CONTRACT_WORDS_MAX);
    assert_true(strlen(lines) < CONTRACT_WORDS_MAX * (CONTRACT_WORD_MAX + 40));
    assert_int_equal(more(&rig), 500 - CONTRACT_WORDS_MAX);
    assert_int_equal(told("event=contract_finding", "kind=word"), CONTRACT_WORDS_MAX);
    assert_int_equal(told("event=contract_findings_full", "stage=poll"), 1);
    end(&rig);
}

static void test_words_are_cut_between_characters(void **state) {
    (void)state;
    struct rig rig;
    char body[400], wanted[200];
    char a[100];
    memset(a, 'a', sizeof a);
    snprintf(body, sizeof body, "{\"state\": \"%.99s\xC3\xA9\"}", a);
    snprintf(wanted, sizeof wanted, "word request value $.state %.99s x1\n", a);
    begin(&rig, poll_of_words);
    rig_answer(&rig, 200, body);
    assert_string_equal(found(&rig), wanted);
    end(&rig);
}

static void test_secrets_are_masked(void **state) {
    (void)state;
    struct rig rig;
    struct arena *arena = arena_new();
    struct json *parameters = json_new_object(arena);
    json_set(parameters, "pin", json_new_string(arena, "hunter22"));
    rig_begin(&rig,
              "name = \"poll\"; parameters = ( { name = \"pin\"; type = \"secret\"; } ); request = { method = \"GET\"; "
              "url = \"http://up.test/\"; value = \"$.state\"; success = [ \"ok\" ]; };",
              1);
    rig.contract = contracts_begin(all, rig.stage, rig.now_ms);
    rig_start_with(&rig, parameters);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"waits for hunter22\"}");
    assert_string_equal(found(&rig), "word request value $.state waits for *** x1\n");
    struct reply reply = {
        .phase = REPLY_ANSWERED,
        .headers = (struct reply_header[]){{"Deprecation", "true"}, {"Link", "<http://d/hunter22>; rel=deprecation"}},
        .header_count = 2};
    contract_headers(rig.contract, rig.run, "step", &reply, rig.now_ms);
    const struct json *findings = json_gets(contract_show(rig.contract, arena, rig.now_ms), "findings");
    assert_string_equal(json_gets_text(json_at(findings, 1), "link"), "http://d/***");
    assert_int_equal(told("hunter22", ""), 0);
    arena_free(arena);
    end(&rig);
}

/* ---- paths that lead nowhere, and kinds that change ---- */

static void test_one_run(void **state) {
    (void)state;
    static const struct {
        const char *bodies[6], *found;
    } rows[] = {
        /* as expected */
        {{"{}", "{\"state\": null}", "{\"state\": \"ok\", \"report\": 1, \"percent\": 5}"}, ""},
        {{"{\"state\": \"ok\", \"report\": null}"}, ""}, /* null is there */
        {{"{\"state\": \"OK\", \"report\": {}, \"items\": []}"}, ""},
        {{"{\"state\": \"bad\"}"}, ""},  /* a failure has no outputs to give */
        {{"{\"state\": \"gone\"}"}, ""}, /* nor has this */
        /* outputs */
        {{"{\"state\": \"ok\"}"}, "missing request outputs.report $.report x1\n"},
        /* progress: only where there was time for it */
        {{"{}", "{}", "{\"state\": \"ok\", \"report\": 1}"}, "missing request progress $.percent x1\n"},
        {{"{}", "{\"state\": \"ok\", \"report\": 1}"}, ""},
        {{"{}", "{\"percent\": 1}", "{}", "{\"state\": \"ok\", \"report\": 1}"}, ""},
        {{"{}", "{}", "{}", "{\"state\": \"bad\"}"}, ""},
        /* kinds within a run */
        {{"{\"percent\": 1}", "{\"percent\": 1.5}", "{\"percent\": null}", "{\"percent\": \"10 of 20\"}"},
         "type request progress $.percent number->string x1\n"},
        {{"{\"message\": \"a\"}", "{\"message\": [\"a\"]}", "{\"message\": [\"b\"]}", "{\"message\": true}"},
         "type request message $.message string->array x2\ntype request message $.message string->boolean x1\n"},
        /* what can be no word */
        {{"{\"state\": {\"name\": \"ok\"}}"}, "type request value $.state word->object x1\n"},
        {{"{\"state\": [\"ok\"]}", "{\"state\": \"ok\", \"report\": 1}"},
         "type request value $.state word->array x1\n"},
        /* no JSON */
        {{"<html>", "{\"state\": \"ok\", \"report\": 1}"}, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin(&rig, poll_of_words);
        answer_all(&rig, rows[i].bodies);
        if (strcmp(found(&rig), rows[i].found) != 0)
            fail_msg("row %zu: found\n%s, wanted\n%s", i, found(&rig), rows[i].found);
        end(&rig);
        contracts_free(all);
        all = contracts_new();
    }
}

/* An answer that is empty keeps to its form. */
static void test_lists_with_nothing_in_them(void **state) {
    (void)state;
    static const struct {
        const char *body, *found;
    } rows[] = {
        {"{\"list\": []}", ""},
        {"{\"list\": null}", ""},
        {"{\"list\": [null]}", ""},
        {"{\"list\": [{\"name\": 5}]}", ""},
        {"{\"list\": [{}]}", "missing request outputs.name $.list[0].name x1\n"},
        {"{\"list\": {}}", "missing request outputs.name $.list[0].name x1\n"},
        {"{}", "missing request outputs.name $.list[0].name x1\n"},
        {"[]", "missing request outputs.name $.list[0].name x1\n"},
        {"", "missing request outputs.name $.list[0].name x1\n"},
        {"<html>", "missing request outputs.name $.list[0].name x1\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin(&rig, "name = \"one\"; request = { method = \"GET\"; url = \"http://up.test/\"; }; "
                    "outputs = { name = \"$.list[0].name\"; };");
        rig_answer(&rig, 200, rows[i].body);
        if (strcmp(found(&rig), rows[i].found) != 0)
            fail_msg("row %zu: found\n%s, wanted\n%s", i, found(&rig), rows[i].found);
        end(&rig);
        contracts_free(all);
        all = contracts_new();
    }
}

static void test_kinds_over_runs(void **state) {
    (void)state;
    static const char *const runs[] = {
        "{\"state\": \"ok\", \"report\": \"r\"}", "{\"state\": \"ok\", \"report\": null}",
        "{\"state\": \"ok\", \"report\": 7}",     "{\"state\": \"ok\", \"report\": 7.5}",
        "{\"state\": \"ok\", \"report\": {}}",    "{\"state\": \"ok\", \"report\": \"s\"}",
    };
    struct rig rig;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        begin(&rig, poll_of_words);
        answer_all(&rig, (const char *[]){runs[i], NULL});
        if (i + 1 < sizeof runs / sizeof *runs) end(&rig);
    }
    assert_string_equal(found(&rig), "type request outputs.report $.report string->number x2\n"
                                     "type request outputs.report $.report string->object x1\n");
    assert_int_equal(told("kind=type", "what=\"a number stood there, where a string was expected\""), 1);
    end(&rig);
}

/* The status word was a text, and is a number now, which the lists do not name. */
static void test_a_status_of_another_kind(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, poll_of_words);
    answer_all(&rig, (const char *[]){"{\"state\": \"bad\"}", NULL});
    end(&rig);
    begin(&rig, poll_of_words);
    answer_all(&rig, (const char *[]){"{\"state\": 3}", NULL});
    assert_string_equal(found(&rig), "type request value $.state string->number x1\n"
                                     "word request value $.state 3 x1\n");
    end(&rig);
}

static void time_out(struct rig *rig) {
    rig->now_ms += 61000;
    rig_due(rig);
    rig_stored(rig);
}

static void test_a_status_that_never_came(void **state) {
    (void)state;
    static const struct {
        const char *bodies[4];
        bool cancel;
        const char *found;
    } rows[] = {
        {{"{\"status\": \"ok\"}"}, false, "missing request value $.state x1\n"},
        {{"{}", "{\"state\": null}", "{}"}, false, "missing request value $.state x1\n"},
        {{"{}", "{\"state\": \"x\"}", "{}"}, false, "word request value $.state x x1\n"},
        {{"{}"}, true, ""},  /* somebody had no time for it */
        {{NULL}, false, ""}, /* no reply: nothing is known */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin(&rig, poll_of_words);
        answer_all(&rig, rows[i].bodies);
        if (rows[i].cancel) rig_cancel(&rig), rig_stored(&rig);
        else time_out(&rig);
        if (strcmp(found(&rig), rows[i].found) != 0)
            fail_msg("row %zu: found\n%s, wanted\n%s", i, found(&rig), rows[i].found);
        end(&rig);
        contracts_free(all);
        all = contracts_new();
    }
}

static void test_a_restart_forgets_no_word(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"running\"}");
    rig_call_back(&rig, 1, "m1", "{\"state\": \"running\"}"); /* is written down */
    rig_stored(&rig);
    rig_restart(&rig);
    rig_due(&rig);
    rig_answer(&rig, 200, "{}");
    time_out(&rig);
    assert_string_equal(found(&rig), "word status callback.value $.state running x1\n"); /* not: $.state is missing */
    end(&rig);
}

static void test_conditions_that_speak_of_nothing(void **state) {
    (void)state;
    static const char definition[] =
        "name = \"poll\"; request = { method = \"GET\"; url = \"http://up.test/\"; every = \"5s\"; timeout = \"60s\"; "
        "success_when = \"body.ready\"; failure_when = \"body.error\"; };";
    struct rig rig;
    begin(&rig, definition);
    answer_all(&rig, (const char *[]){"{\"ready\": false}", "{}", NULL}); /* failure_when has nothing to look at */
    time_out(&rig);
    assert_string_equal(found(&rig), "");
    end(&rig);
    begin(&rig, definition);
    answer_all(&rig, (const char *[]){"{\"redy\": false}", "{\"error\": 0}", NULL});
    time_out(&rig);
    assert_string_equal(found(&rig), "missing request success_when body.ready x1\n");
    end(&rig);
}

static void test_errors_without_a_word_on_why(void **state) {
    (void)state;
    static const struct {
        int code;
        const char *body, *found;
    } rows[] = {
        {200, "{\"state\": \"ok\"}", ""},
        {200, "{\"state\": \"no\", \"problem\": true, \"error\": \"why\"}", ""},
        {200, "{\"state\": \"no\", \"problem\": true}", "missing request error $.error x1\n"},
        {400, "{\"message\": \"why\"}", "missing request error $.error x1\n"},
        {400, "{\"error\": \"why\"}", ""},
        {400, "<html>", ""}, /* of a proxy, or the like */
        {400, "", ""},
        {503, "{\"message\": \"later\"}", ""}, /* it is asked again */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin(&rig, "name = \"poll\"; request = { method = \"GET\"; url = \"http://up.test/\"; value = \"$.state\"; "
                    "success = [ \"ok\" ]; error = \"$.error\"; error_when = \"body.problem is defined\"; };");
        rig_answer(&rig, rows[i].code, rows[i].body);
        if (strcmp(found(&rig), rows[i].found) != 0)
            fail_msg("row %zu: found\n%s, wanted\n%s", i, found(&rig), rows[i].found);
        end(&rig);
        contracts_free(all);
        all = contracts_new();
    }
}

static void test_what_was_canceled_may_be_gone(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig,
          "name = \"job\"; request = { url = \"http://up.test/\"; }; status = { url = \"http://up.test/1\"; value "
          "= \"$.state\"; success = [ \"ok\" ]; error = \"$.error\"; error_when = \"body.error is defined\"; }; "
          "cancel = { method = \"DELETE\"; url = \"http://up.test/1\"; };");
    rig_answer(&rig, 201, "{}");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{}");
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_answer(&rig, 204, "");
    rig_stored(&rig);
    rig_due(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CHECK);
    rig_answer(&rig, 404, "{\"message\": \"no such job\"}");
    assert_int_equal(rig.run->status, RUN_CANCELED);
    assert_string_equal(found(&rig), "");
    end(&rig);
}

static void test_outputs_of_steps_that_are_left_out(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; outputs = { last = \"$.last\"; }; steps = ( { name = \"one\"; method = \"GET\"; url = "
                "\"http://up.test/\"; outputs = { id = \"$.id\"; }; }, { name = \"two\"; method = \"GET\"; url = "
                "\"http://up.test/\"; when = \"one.body.more\"; } );");
    rig_answer(&rig, 200, "{\"more\": false}");
    rig_stored(&rig);
    assert_true(rig.over);
    assert_string_equal(found(&rig), "missing one outputs.id $.id x1\n");
    end(&rig);
}

static void test_calls_that_cannot_be_made(void **state) {
    (void)state;
    static const struct {
        enum fault_kind kind;
        const char *what, *found;
    } rows[] = {
        {FAULT_UNDEFINED, "request.body.links.self is undefined", "missing status x1\n"},
        {FAULT_UNDEFINED, "{{ request.body.id }}: request.body.id is undefined", "missing status x1\n"},
        {FAULT_UNDEFINED, "parameters.request.id is undefined", ""},
        {FAULT_UNDEFINED, "parameters.region is undefined", ""},
        {FAULT_FORBIDDEN, "request.body.links.self leads to another host", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        struct fault fault;
        begin(&rig, rig_two_steps);
        rig_answer(&rig, 201, "{}");
        rig_stored(&rig);
        fault_set(&fault, rows[i].kind, NULL, "%s", rows[i].what);
        struct run_world world = rig_world(&rig);
        contract_refused(&world, rig.run, false, &fault);
        if (strcmp(found(&rig), rows[i].found) != 0)
            fail_msg("row %zu: found\n%s, wanted\n%s", i, found(&rig), rows[i].found);
        if (rows[i].found[0]) assert_int_equal(told(rows[i].what, "step=status"), 1);
        end(&rig);
        contracts_free(all);
        all = contracts_new();
    }
}

/* Where there is a fallback, either call may lack what it speaks of: a job that waits has no build yet. */
static void test_cancel_calls_that_cannot_be_made(void **state) {
    (void)state;
    static const char start[] = "name = \"job\"; request = { url = \"http://up.test/\"; }; status = { url = "
                                "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; }; cancel = { url = "
                                "\"http://up.test/{{ request.body.id }}\"; ";
    for (int fallback = 0; fallback < 2; fallback++) {
        struct rig rig;
        struct arena *arena = arena_new();
        begin(&rig, arena_printf(arena, "%s%s};", start,
                                 fallback ? "fallback = { url = \"http://up.test/{{ request.body.id }}\"; }; " : ""));
        rig_answer(&rig, 201, "{}");
        rig_stored(&rig);
        rig_cancel(&rig);
        rig_stored(&rig);
        rig_refuse(&rig, FAULT_UNDEFINED);
        assert_string_equal(found(&rig), fallback ? "" : "missing cancel x1\n");
        if (fallback) {
            rig_stored(&rig);
            rig_refuse(&rig, FAULT_UNDEFINED);
            assert_string_equal(found(&rig), "");
        }
        arena_free(arena);
        end(&rig);
        contracts_free(all);
        all = contracts_new();
    }
}

/* ---- headers ---- */

static void test_dates(void **state) {
    (void)state;
    static const struct {
        const char *text, *date; /* NULL: it cannot be read */
    } rows[] = {
        {"@1688169599", "2023-06-30T23:59:59.000Z"},
        {" @0 ", "1970-01-01T00:00:00.000Z"},
        {"@1688169599;note=\"x\"", "2023-06-30T23:59:59.000Z"},
        {"@253402300799", "9999-12-31T23:59:59.000Z"},
        {"@253402300800", NULL},
        {"@99999999999999999999", NULL},
        {"@-1", NULL},
        {"@1.5", NULL},
        {"@", NULL},
        {"", NULL},
        {"true", NULL},
        {"?1", NULL},
        {"Sat, 31 Dec 2022 23:59:59 GMT", "2022-12-31T23:59:59.000Z"},
        {"Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000Z"},
        {"2027-07-31T00:00:00Z", "2027-07-31T00:00:00.000Z"},
        {"2027-07-31", NULL},
        {"soon", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char date[CLOCK_TEXT_SIZE];
        int64_t wall_ms;
        bool read = contract_date(text_of(rows[i].text), RIG_BEGAN, &wall_ms);
        if (read) clock_format(wall_ms, date);
        if (read != (rows[i].date != NULL) || (read && strcmp(date, rows[i].date) != 0))
            fail_msg("row %zu: %s gives %s", i, rows[i].text, read ? date : "nothing");
    }
}

static void test_links(void **state) {
    (void)state;
    static const struct {
        const char *header, *target;
    } rows[] = {
        {"<https://d/x>; rel=\"deprecation\"", "https://d/x"},
        {"<https://d/x>;rel=deprecation;type=\"text/html\"", "https://d/x"},
        {"<https://d/x> ; type=\"text/html\" ; REL = \"next Deprecation\"", "https://d/x"},
        {"<https://a>; rel=next, <https://d/x>; rel=deprecation", "https://d/x"},
        {"<https://a>; title=\"a, <b>; rel=deprecation\", <https://d/x>; rel=deprecation", "https://d/x"},
        {"<https://a>; title=\"\\\", <b>; rel=deprecation\"", ""},
        {"<https://a>; rel=sunset", ""},
        {"<https://a>; rel=deprecations", ""},
        {"<https://a>; rev=deprecation", ""},
        {"<https://a>", ""},
        {"<https://a", ""},
        {"https://a; rel=deprecation", ""},
        {"<https://a>; rel=\"", ""},
        {"<https://a>; rel=", ""},
        {"<https://a>;;;,,;", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply_header headers[] = {
            {"Content-Type", "x"}, {"link", "<http://z>; rel=z"}, {"LINK", rows[i].header}};
        struct reply reply = {.headers = headers, .header_count = 3};
        struct text target = contract_link(&reply, "deprecation");
        if (!text_is(target, rows[i].target)) fail_msg("row %zu: %.*s", i, TEXT_ARG(target));
    }
}

static void answer_with(struct rig *rig, const char *name, const char *value, const char *call) {
    struct reply_header headers[] = {{"Date", "x"}, {"Server", "x"}, {name, value}, {name, "@5"}};
    struct reply reply = {.phase = REPLY_ANSWERED, .headers = headers, .header_count = 4};
    contract_headers(rig->contract, rig->run, call, &reply, rig->now_ms);
}

static void test_headers(void **state) {
    (void)state;
    static const struct {
        const char *name, *value, *call, *found, *what;
    } rows[] = {
        {"Deprecation", "@1688169599", "step", "deprecation request x1\n",
         "the upstream says that this is deprecated since 2023-06-30"},
        {"deprecation", "@1795338000", "probe", "deprecation request probe x1\n",
         "the upstream says that this is deprecated from 2026-11-22, in 364 days"},
        {"DEPRECATION", "true", "cancel", "deprecation cancel x1\n", "the upstream says that this is deprecated"},
        {"Deprecation", "false", "step", "", NULL},
        {"Deprecation", "?0", "step", "", NULL},
        {"Sunset", "Sat, 31 Dec 2033 23:59:59 GMT", "step", "sunset request x1\n",
         "the upstream says that it ends this on 2033-12-31, in 2960 days"},
        {"Sunset", "Sat, 31 Dec 2022 23:59:59 GMT", "step", "sunset request x1\n",
         "the upstream says that it ends this on 2022-12-31, which is past"},
        {"Sunset", "soon", "step", "sunset request x1\n",
         "the upstream says that it ends this, at a time that cannot be read"},
        {"Sunrise", "@1", "step", "", NULL},
        {"", "@1", "step", "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        struct arena *arena = arena_new();
        begin(&rig, poll_of_words);
        answer_with(&rig, rows[i].name, rows[i].value, rows[i].call);
        if (strcmp(found(&rig), rows[i].found) != 0)
            fail_msg("row %zu: found\n%s, wanted\n%s", i, found(&rig), rows[i].found);
        const struct json *shown = contract_show(rig.contract, arena, rig.now_ms);
        const char *what = json_gets_text(json_at(json_gets(shown, "findings"), 0), "what");
        if (what ? !rows[i].what || strcmp(what, rows[i].what) != 0 : rows[i].what != NULL)
            fail_msg("row %zu: %s", i, what);
        arena_free(arena);
        end(&rig);
        contracts_free(all);
        all = contracts_new();
    }
}

static const char *http_date(int64_t wall_ms) { /* the form with @ */
    static char text[32];
    snprintf(text, sizeof text, "@%lld", (long long)(wall_ms / 1000));
    return text;
}

static void test_a_sunset_that_comes_near_is_told_of_again(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, poll_of_words);
    int64_t ends_ms = rig.now_ms + 40 * DAY;
    for (int day = 0; day < 50; day++) {
        answer_with(&rig, "Sunset", http_date(ends_ms), "step");
        rig.now_ms += DAY;
    }
    assert_int_equal(told("kind=sunset", "level=warn"), 1);
    assert_int_equal(told("kind=sunset", "level=error"), 1);
    assert_string_equal(found(&rig), "sunset request x50\n");
    end(&rig);
}

static void test_a_date_that_moves_is_not_told_of_for_ever(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, poll_of_words);
    for (int day = 0; day < 500; day++) {
        answer_with(&rig, "Sunset", http_date(rig.now_ms + 60 * DAY), "step");
        rig.now_ms += DAY;
    }
    assert_string_equal(found(&rig), "sunset request x500\n");
    assert_int_equal(told("kind=sunset", ""), 1 + CONTRACT_CHANGES_MAX);
    end(&rig);
}

static void test_long_links_are_left_out(void **state) {
    (void)state;
    struct rig rig;
    struct arena *arena = arena_new();
    char *link = arena_alloc(arena, 100000), *value;
    memset(link, 'x', 99999);
    value = arena_printf(arena, "<https://%s>; rel=sunset", link);
    begin(&rig, poll_of_words);
    struct reply_header headers[] = {{"Sunset", "@5"}, {"Link", value}};
    struct reply reply = {.phase = REPLY_ANSWERED, .headers = headers, .header_count = 2};
    contract_headers(rig.contract, rig.run, "step", &reply, rig.now_ms);
    const struct json *shown = contract_show(rig.contract, arena, rig.now_ms);
    const struct json *f = json_at(json_gets(shown, "findings"), 0);
    assert_int_equal(json_kind(json_gets(f, "link")), JSON_NULL);
    assert_string_equal(json_gets_text(f, "at"), "1970-01-01T00:00:05.000Z");
    arena_free(arena);
    end(&rig);
}

/* ---- definitions ---- */

static struct stage *version(int number) {
    char definition[200];
    snprintf(definition, sizeof definition,
             "name = \"poll\"; description = \"%d\"; request = { url = \"http://up.test/\"; };", number);
    return rig_stage(definition);
}

static void test_a_changed_definition_begins_anew(void **state) {
    (void)state;
    struct stage *stages[5];
    for (int i = 0; i < 5; i++) stages[i] = version(i);
    assert_null(contracts_find(all, stages[0]));
    struct contract *first = contracts_begin(all, stages[0], 1000), *again = contracts_begin(all, stages[0], 2000);
    assert_ptr_equal(first, again);
    contract_unref(again);
    struct contract *second = contracts_begin(all, stages[1], 3000);
    assert_ptr_not_equal(first, second);
    contract_unref(second);
    struct contract *found_first = contracts_find(all, stages[0]); /* runs may be pinned to it */
    assert_ptr_equal(found_first, first);
    contract_unref(found_first);
    for (int i = 2; i < 5; i++) contract_unref(contracts_begin(all, stages[i], 4000));
    assert_null(contracts_find(all, stages[0])); /* not for ever */
    assert_null(contracts_find(all, stages[1]));
    struct contract *last = contracts_find(all, stages[4]);
    assert_non_null(last);
    contract_unref(last);
    struct rig rig = {.stage = stages[0], .now_ms = RIG_BEGAN, .contract = first};
    rig_start_with(&rig, NULL);
    answer_with(&rig, "Sunset", "@5", "step"); /* whoever has a reference goes on with it */
    assert_string_equal(found(&rig), "sunset request x1\n");
    end(&rig);
    for (int i = 1; i < 5; i++) stage_unref(stages[i]);
}

static void test_nothing_seen_is_shown_so(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct buf text;
    buf_init(&text, 1000);
    json_write(&text, contract_show(NULL, arena, 0));
    assert_string_equal(buf_cstr(&text), "{\"since\":null,\"findings\":[],\"more\":0}");
    buf_fini(&text);
    arena_free(arena);
}

/* ---- loops ---- */

#define THREADS 4
#define ROUNDS 2000

static void *answer_many(void *arg) {
    struct rig *rig = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct contract *contract = contracts_begin(all, rig->stage, rig->now_ms);
        struct reply_header headers[] = {{"Deprecation", i % 2 ? "@5" : "@6"}};
        struct reply reply = {.phase = REPLY_ANSWERED, .headers = headers, .header_count = 1};
        contract_headers(contract, rig->run, "step", &reply, rig->now_ms);
        contract_kind_first(contract, 0, i % 2 ? JSON_REAL : JSON_STRING);
        contract_unref(contract);
    }
    return NULL;
}

static void test_loops_share_it(void **state) {
    (void)state;
    struct rig rig;
    pthread_t threads[THREADS];
    begin(&rig, poll_of_words);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, answer_many, &rig), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    char wanted[100];
    snprintf(wanted, sizeof wanted, "deprecation request x%d\n", THREADS * ROUNDS);
    assert_string_equal(found(&rig), wanted);
    end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_word_is_told_of_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_times_are_those_of_the_first_and_the_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_words_of_callbacks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_words_without_end_are_only_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_words_are_cut_between_characters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_secrets_are_masked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lists_with_nothing_in_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kinds_over_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_status_of_another_kind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_status_that_never_came, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_restart_forgets_no_word, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_conditions_that_speak_of_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors_without_a_word_on_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_canceled_may_be_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_outputs_of_steps_that_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_calls_that_cannot_be_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_calls_that_cannot_be_made, set_up, tear_down),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_links),
        cmocka_unit_test_setup_teardown(test_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_sunset_that_comes_near_is_told_of_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_date_that_moves_is_not_told_of_for_ever, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_links_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_changed_definition_begins_anew, set_up, tear_down),
        cmocka_unit_test(test_nothing_seen_is_shown_so),
        cmocka_unit_test_setup_teardown(test_loops_share_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
