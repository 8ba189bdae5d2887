/* base/count: sums over threads, and the Prometheus text that a scraper reads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/count.h"

static struct buf page;

static const char *scrape(void) {
    buf_clear(&page);
    count_write(&page);
    return buf_cstr(&page);
}

static int open_page(void **state) {
    (void)state;
    buf_init(&page, 1 << 20);
    return 0;
}

static int close_page(void **state) {
    (void)state;
    buf_fini(&page);
    return 0;
}

enum { THREADS = 4, TIMES = 10000 };

static void *count_much(void *arg) {
    for (int i = 0; i < TIMES; i++) {
        count_add(COUNT_CONNECTIONS, 1);
        count_add(COUNT_STORE_WRITES, 2);
        count_add_labelled(COUNT_FAMILY_REQUESTS, "threads", "200", 1);
        count_observe(COUNT_HISTOGRAM_CALL_MS, 7);
        count_add(COUNT_CONNECTIONS, -1);
    }
    return arg;
}

static void sums_over_threads_that_ended(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, count_much, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(count_read(COUNT_CONNECTIONS), 0);
    assert_int_equal(count_read(COUNT_STORE_WRITES), 2 * THREADS * TIMES);
    assert_non_null(strstr(scrape(), "\nstagedoor_store_writes_total 80000\n"));
    assert_non_null(strstr(scrape(), "\nstagedoor_requests_total{route=\"threads\",code=\"200\"} 40000\n"));
    assert_non_null(strstr(scrape(), "\nstagedoor_upstream_call_seconds_count 40000\n"));
    assert_non_null(strstr(scrape(), "\nstagedoor_upstream_call_seconds_sum 280.000\n"));
}

static void buckets_hold_their_bounds(void **state) {
    (void)state;
    static const int64_t seen_ms[] = {0, 1, 2, 3, 100, 101, 3600000, 3600001};
    for (size_t i = 0; i < sizeof seen_ms / sizeof *seen_ms; i++) count_observe(COUNT_HISTOGRAM_RUN_MS, seen_ms[i]);
    static const char *const lines[] = {"{le=\"0.001\"} 2\n", "{le=\"0.002\"} 3\n", "{le=\"0.005\"} 4\n",
                                        "{le=\"0.1\"} 5\n",   "{le=\"0.25\"} 6\n",  "{le=\"3600\"} 7\n",
                                        "{le=\"+Inf\"} 8\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char line[100] = "\nstagedoor_run_seconds_bucket";
        strncat(line, lines[i], 60);
        assert_non_null(strstr(scrape(), line));
    }
}

static void labels_are_escaped(void **state) {
    (void)state;
    count_add_labelled(COUNT_FAMILY_RUNS_STARTED, "a\"b\\c\nd", NULL, 3);
    assert_non_null(strstr(scrape(), "\nstagedoor_runs_started_total{stage=\"a\\\"b\\\\c\\nd\"} 3\n"));
}

static void gauges_are_set(void **state) {
    (void)state;
    count_set_labelled(COUNT_FAMILY_STAGE_STATE, "load-test", NULL, 1);
    count_set_labelled(COUNT_FAMILY_STAGE_STATE, "load-test", NULL, 0);
    assert_non_null(strstr(scrape(), "# TYPE stagedoor_stage_broken gauge\n"));
    assert_non_null(strstr(scrape(), "\nstagedoor_stage_broken{stage=\"load-test\"} 0\n"));
}

/* Every sample's name was announced by the TYPE line before it, and every line ends. */
static void page_is_well_formed(void **state) {
    (void)state;
    scrape();
    assert_int_equal(page.at[page.len - 1], '\n');
    struct text rest = {page.at, page.len - 1}, line;
    char type[128] = "";
    while (text_cut(&rest, '\n', &line)) {
        struct text word = line, name;
        if (text_starts(line, "# HELP ")) continue;
        if (text_starts(line, "# TYPE ")) {
            word = (struct text){line.at + 7, line.len - 7};
            text_cut(&word, ' ', &name);
            assert_true(name.len < sizeof type);
            memcpy(type, name.at, name.len);
            type[name.len] = 0;
        } else {
            assert_true(type[0] && text_starts(line, type));
        }
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_over_threads_that_ended), cmocka_unit_test(buckets_hold_their_bounds),
        cmocka_unit_test(labels_are_escaped),           cmocka_unit_test(gauges_are_set),
        cmocka_unit_test(page_is_well_formed),
    };
    return cmocka_run_group_tests_name("count", tests, open_page, close_page);
}
