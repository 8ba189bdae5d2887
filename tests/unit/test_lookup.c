/* Who looks a host up, and who waits: every order of asking, settling and leaving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "back/lookup.h"

static bool enter(struct lookups *lookups, const char *host, struct lookup_seat *seat, int64_t now_ms) {
    return lookups_enter(lookups, text_of(host), host, seat, now_ms);
}

static void test_addresses_need_none(void **state) {
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "[::1]", "localhost", "LocalHost", ""};
    struct lookups *lookups = lookups_new();
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct lookup_seat first = {0}, second = {0};
        assert_true(enter(lookups, hosts[i], &first, 0));
        assert_true(enter(lookups, hosts[i], &second, 0));
        assert_false(lookup_leads(&first));
        assert_null(lookup_leave(&first));
    }
    lookups_free(lookups);
}

static void test_one_leads(void **state) {
    (void)state;
    struct lookups *lookups = lookups_new();
    struct lookup_seat a = {0}, b = {0}, c = {0}, other = {0}, late = {0};
    assert_true(enter(lookups, "ci.example", &a, 0));
    assert_false(enter(lookups, "ci.example", &b, 0));
    assert_false(enter(lookups, "CI.example", &c, 0));
    assert_true(enter(lookups, "other.example", &other, 0));
    assert_true(lookup_leads(&a) && lookup_leads(&other));
    assert_false(lookup_leads(&b));
    struct lookup_seat *waited = lookup_settle(&a, true, 1000);
    assert_ptr_equal(waited, &b);
    assert_ptr_equal(waited->next, &c);
    assert_null(c.next);
    assert_null(lookup_leave(&b)); /* no longer in it */
    assert_true(enter(lookups, "ci.example", &late, 1000 + LOOKUP_KEPT_MS - 1));
    assert_false(lookup_leads(&late)); /* nothing to look up */
    assert_true(enter(lookups, "ci.example", &late, 1000 + LOOKUP_KEPT_MS));
    assert_true(lookup_leads(&late));
    lookups_free(lookups);
}

static void test_not_found_is_asked_again(void **state) {
    (void)state;
    struct lookups *lookups = lookups_new();
    struct lookup_seat a = {0}, b = {0};
    assert_true(enter(lookups, "ci.example", &a, 0));
    assert_null(lookup_settle(&a, false, 0));
    assert_true(enter(lookups, "ci.example", &b, 0));
    assert_true(lookup_leads(&b));
    lookups_free(lookups);
}

static void test_leaving(void **state) {
    (void)state;
    struct lookups *lookups = lookups_new();
    struct lookup_seat a = {0}, b = {0}, c = {0}, d = {0};
    enter(lookups, "ci.example", &a, 0);
    enter(lookups, "ci.example", &b, 0);
    enter(lookups, "ci.example", &c, 0);
    enter(lookups, "ci.example", &d, 0);
    assert_null(lookup_leave(&b)); /* from the front of those who wait */
    assert_null(lookup_leave(&d)); /* from the end */
    assert_false(enter(lookups, "ci.example", &d, 0));
    assert_ptr_equal(lookup_leave(&a), &c); /* the leader: the longest waiting takes over */
    assert_true(lookup_leads(&c));
    assert_ptr_equal(lookup_settle(&c, true, 0), &d);
    enter(lookups, "ci.example", &a, LOOKUP_KEPT_MS);
    assert_null(lookup_leave(&a)); /* alone */
    assert_true(enter(lookups, "ci.example", &b, LOOKUP_KEPT_MS));
    assert_true(lookup_leads(&b));
    lookups_free(lookups);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_need_none),
        cmocka_unit_test(test_one_leads),
        cmocka_unit_test(test_not_found_is_asked_again),
        cmocka_unit_test(test_leaving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
