/* base/log: the two forms of a line, masking, and a writer that never holds up who logs. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

static char folder[] = "/tmp/test_log.XXXXXX", path[64], moved[64];
static struct buf seen;

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(moved, sizeof moved, "%s/log.1", folder);
    buf_init(&seen, 64 << 20);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    buf_fini(&seen);
    unlink(path);
    unlink(moved);
    return rmdir(folder);
}

static const char *contents(const char *of) {
    buf_clear(&seen);
    FILE *file = fopen(of, "r");
    assert_non_null(file);
    char part[65536];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) buf_add(&seen, part, n);
    fclose(file);
    return buf_cstr(&seen);
}

static void open_log(enum log_level least, enum log_format format) {
    struct fault fault;
    unlink(path);
    assert_true(log_open(least, format, path, &fault));
}

/* The line without its time, whose form is checked. */
static const char *behind_time(const char *line, const char *before, const char *after) {
    size_t n = strlen(before);
    assert_memory_equal(line, before, n);
    int64_t wall_ms;
    assert_true(clock_parse((struct text){line + n, CLOCK_TEXT_SIZE - 1}, &wall_ms));
    assert_in_range(wall_ms, clock_wall_ms() - 60000, clock_wall_ms());
    assert_memory_equal(line + n + CLOCK_TEXT_SIZE - 1, after, strlen(after));
    return line + n + CLOCK_TEXT_SIZE - 1 + strlen(after);
}

static void put_one(void) {
    struct log_context ctx = {.run = "01K", .stage = "load test", .step = ""};
    log_put(LOG_INFO, "run_ended", &ctx, LOG_STR("status", "SUCCEEDED"), LOG_STR("absent", NULL), LOG_INT("ms", -12),
            LOG_STR("odd", "a\"b=c\n\x01"), LOG_STR("raw", "\xFFz"),
            LOG_STR("c1", "\xC3\xA9\xC2\x9B"
                          "31m\xC2\x85"));
}

static void writes_logfmt(void **state) {
    (void)state;
    open_log(LOG_INFO, LOG_LOGFMT);
    put_one();
    log_put(LOG_DEBUG, "not_shown", NULL);
    log_close();
    assert_string_equal(behind_time(contents(path), "time=", " "),
                        "level=info event=run_ended run=01K stage=\"load test\" step=\"\" status=SUCCEEDED ms=-12 "
                        "odd=\"a\\\"b=c\\n\\u0001\" raw=\"\\u00ffz\" c1=\"\xC3\xA9\\u009b31m\\u0085\"\n");
}

static void writes_json(void **state) {
    (void)state;
    open_log(LOG_DEBUG, LOG_JSON);
    put_one();
    log_close();
    assert_string_equal(behind_time(contents(path), "{\"time\":\"", "\","),
                        "\"level\":\"info\",\"event\":\"run_ended\",\"run\":\"01K\",\"stage\":\"load test\","
                        "\"step\":\"\",\"status\":\"SUCCEEDED\",\"ms\":-12,\"odd\":\"a\\\"b=c\\n\\u0001\","
                        "\"raw\":\"\\u00ffz\",\"c1\":\"\xC3\xA9\\u009b31m\\u0085\"}\n");
}

/* A value too long for a line is cut; the line keeps its form and what comes after. */
static void long_line_keeps_its_form(void **state) {
    (void)state;
    static const char fills[] = {'x', '\x01', '\xC3'};
    for (size_t i = 0; i < sizeof fills; i++) {
        size_t size = 300000;
        char *large = mem_alloc(size + 1);
        memset(large, fills[i], size);
        if (fills[i] == '\xC3')
            for (size_t n = 1; n < size; n += 2) large[n] = '\xA9';
        open_log(LOG_INFO, LOG_JSON);
        log_put(LOG_INFO, "large", NULL, LOG_STR("value", large), LOG_STR("last", "seen"), LOG_INT("n", 1));
        log_close();
        contents(path);
        assert_true(seen.len < 70000);
        assert_true(text_utf8_check(buf_text(&seen)));
        static const char end[] = "\",\"last\":\"seen\",\"n\":1}\n";
        assert_string_equal(seen.at + seen.len - strlen(end), end);
        mem_free(large);
    }
}

static void masks_the_secret(struct buf *line) {
    for (char *at; (at = strstr(line->at, "hunter2"));) memset(at, '*', 7);
}

static void line_is_masked(void **state) {
    (void)state;
    open_log(LOG_INFO, LOG_LOGFMT);
    log_set_mask(masks_the_secret);
    log_put(LOG_INFO, "reply", NULL, LOG_STR("body", "token hunter2, hunter2"));
    log_set_mask(NULL);
    log_close();
    assert_null(strstr(contents(path), "hunter2"));
    assert_non_null(strstr(contents(path), "body=\"token *******, *******\"\n"));
}

static void fault_is_logged_with_its_kind(void **state) {
    (void)state;
    struct fault fault;
    fault_set(&fault, FAULT_SYNTAX, "x.conf:2", "no good");
    open_log(LOG_INFO, LOG_LOGFMT);
    fault.lines[0] = 0;
    log_fault(LOG_ERROR, "stage_broken", NULL, &fault);
    snprintf(fault.lines, sizeof fault.lines, "{{ \"a\" + }}\n         ^~");
    log_fault(LOG_ERROR, "stage_broken", NULL, &fault);
    log_close();
    const char *wanted = "level=error event=stage_broken kind=syntax where=x.conf:2 what=\"no good\"";
    const char *first = strstr(contents(path), wanted), *second = first ? strstr(first + 1, wanted) : NULL;
    assert_non_null(second);
    assert_int_equal(first[strlen(wanted)], '\n');
    assert_true(text_starts(text_of(second + strlen(wanted)), " lines=\"{{ \\\"a\\\" + }}\\n         ^~\"\n"));
}

static void goes_on_in_a_new_file(void **state) {
    (void)state;
    open_log(LOG_INFO, LOG_LOGFMT);
    log_put(LOG_INFO, "before", NULL);
    while (!strstr(contents(path), "event=before")) poll(NULL, 0, 1);
    assert_int_equal(rename(path, moved), 0);
    log_reopen();
    struct stat there;
    while (stat(path, &there) != 0) poll(NULL, 0, 1);
    log_put(LOG_INFO, "after", NULL);
    log_close();
    assert_non_null(strstr(contents(path), "event=after"));
    assert_null(strstr(contents(path), "event=before"));
    assert_null(strstr(contents(moved), "event=after"));
}

/* Nobody reads the pipe: what does not fit is dropped, counted and, once somebody reads, told. */
static void blocked_pipe_holds_up_nobody(void **state) {
    (void)state;
    enum { LINES = 20000 };
    char value[1001];
    memset(value, 'v', 1000);
    value[1000] = 0;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    struct fault fault;
    assert_true(log_open(LOG_INFO, LOG_LOGFMT, path, &fault));
    for (int i = 0; i < LINES; i++) log_put(LOG_INFO, "line", NULL, LOG_STR("value", value));

    buf_clear(&seen);
    char part[65536];
    long dropped = -1;
    while (dropped < 0) { /* the writer tells what it dropped behind what it had */
        struct pollfd one = {.fd = reader, .events = POLLIN};
        assert_int_equal(poll(&one, 1, 20000), 1);
        ssize_t n = read(reader, part, sizeof part);
        assert_true(n > 0);
        buf_add(&seen, part, (size_t)n);
        const char *told = strstr(buf_cstr(&seen), "event=log_dropped lines=");
        if (told && strchr(told, '\n')) dropped = strtol(told + strlen("event=log_dropped lines="), NULL, 10);
    }
    log_close(); /* all is read, so nothing holds it up */
    for (ssize_t n; (n = read(reader, part, sizeof part)) > 0;) buf_add(&seen, part, (size_t)n);
    close(reader);
    long lines = 0;
    for (const char *at = buf_cstr(&seen); (at = strstr(at, "event=line ")); at++) lines++;
    assert_true(dropped > 0);
    assert_int_equal(lines + dropped, LINES);
}

static void path_that_cannot_be_opened_is_a_fault(void **state) {
    (void)state;
    struct fault fault = {0};
    assert_false(log_open(LOG_INFO, LOG_LOGFMT, "/nowhere/at/all", &fault));
    assert_int_equal(fault.kind, FAULT_IO);
    assert_string_equal(fault.where, "/nowhere/at/all");
    log_close();
}

static void levels_have_words(void **state) {
    (void)state;
    enum log_level level = LOG_DEBUG;
    assert_true(log_level_parse(TEXT("warn"), &level));
    assert_int_equal(level, LOG_WARN);
    assert_false(log_level_parse(TEXT("warning"), &level));
    assert_false(log_level_parse(TEXT(""), &level));
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_logfmt),
        cmocka_unit_test(writes_json),
        cmocka_unit_test(long_line_keeps_its_form),
        cmocka_unit_test(line_is_masked),
        cmocka_unit_test(fault_is_logged_with_its_kind),
        cmocka_unit_test(goes_on_in_a_new_file),
        cmocka_unit_test(blocked_pipe_holds_up_nobody),
        cmocka_unit_test(path_that_cannot_be_opened_is_a_fault),
        cmocka_unit_test(levels_have_words),
    };
    return cmocka_run_group_tests_name("log", tests, make_folder, remove_folder);
}
