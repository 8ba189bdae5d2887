/* base/count: sums over threads, and the Prometheus text that a scraper reads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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
    buf_init(&page, 64 << 20);
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

static void *count_each_label(void *arg) {
    char name[32];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "raced-%d", i);
        count_add_labelled(COUNT_FAMILY_RUNS_ENDED, name, "SUCCEEDED", 1);
        count_add_labelled(COUNT_FAMILY_RUNS_ENDED, name, "TERMINAL", 2);
        count_add_labelled(COUNT_FAMILY_CALLS, name, "SUCCEEDED", 3);
    }
    return arg;
}

static size_t lines_with(const char *start) {
    scrape();
    size_t count = 0;
    struct text rest = buf_text(&page), line;
    while (text_cut(&rest, '\n', &line)) count += text_starts(line, start);
    return count;
}

/* Threads that come to the same new set at the same time make one of it. */
static void sets_are_made_once(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, count_each_label, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(lines_with("stagedoor_runs_ended_total{stage=\"raced-"), 400);
    for (int i = 0; i < 200; i++) {
        char line[120];
        snprintf(line, sizeof line, "\nstagedoor_runs_ended_total{stage=\"raced-%d\",status=\"SUCCEEDED\"} %d\n", i,
                 THREADS);
        assert_non_null(strstr(scrape(), line));
        snprintf(line, sizeof line, "\nstagedoor_upstream_calls_total{stage=\"raced-%d\",phase=\"SUCCEEDED\"} %d\n", i,
                 3 * THREADS);
        assert_non_null(strstr(scrape(), line));
    }
}

/* The last test: afterwards there is no room for other sets. */
static void sets_have_a_ceiling(void **state) {
    (void)state;
    char name[32];
    for (int i = 0; i < COUNT_SETS_MAX + 50; i++) {
        snprintf(name, sizeof name, "many-%d", i);
        count_add_labelled(COUNT_FAMILY_QUEUE_FULL, name, NULL, 1);
    }
    size_t many = lines_with("stagedoor_queue_full_total{stage=\"many-");
    assert_in_range(many, COUNT_SETS_MAX - 1000, COUNT_SETS_MAX);
    char line[100];
    snprintf(line, sizeof line, "\nstagedoor_queue_full_total{stage=\"(others)\"} %zu\n", COUNT_SETS_MAX + 50 - many);
    assert_non_null(strstr(scrape(), line));
    count_add_labelled(COUNT_FAMILY_QUEUE_FULL, "many-7", NULL, 1);
    assert_non_null(strstr(scrape(), "\nstagedoor_queue_full_total{stage=\"many-7\"} 2\n"));
    count_add_labelled(COUNT_FAMILY_DUPLICATES, "new", "new", 5);
    assert_non_null(strstr(scrape(), "\nstagedoor_duplicates_total{stage=\"(others)\",outcome=\"(others)\"} 5\n"));
    page_is_well_formed(state);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_over_threads_that_ended), cmocka_unit_test(buckets_hold_their_bounds),
        cmocka_unit_test(labels_are_escaped),           cmocka_unit_test(gauges_are_set),
        cmocka_unit_test(page_is_well_formed),          cmocka_unit_test(sets_are_made_once),
        cmocka_unit_test(sets_have_a_ceiling),
    };
    return cmocka_run_group_tests_name("count", tests, open_page, close_page);
}
