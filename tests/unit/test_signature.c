/* Signatures of callbacks, by the vectors that their makers publish: Standard Webhooks' (also of its reference
 * libraries), GitHub's ("Validating webhook deliveries"); and everything that is almost one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "call/signature.h"

#define SW_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SW_ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define SW_TIME "1614265330"
#define SW_BODY "{\"test\": 2432232314}"
#define SW_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define SW_NOW 1614265330000

#define GITHUB_SECRET "It's a Secret to Everybody"
#define GITHUB_BODY "Hello, World!"
#define GITHUB_SIGNATURE "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

struct row {
    const char *what, *secret, *id, *time, *signature, *body;
    int64_t now_ms;
    enum fault_kind fault; /* NONE: it is right */
};

static enum fault_kind check(enum stage_verify kind, const char *secret, const struct reply *message, int64_t now_ms) {
    struct fault fault = {.kind = FAULT_NONE};
    bool good = signature_check(kind, text_of(secret), message, now_ms, &fault);
    assert_int_equal(good, fault.kind == FAULT_NONE);
    if (strlen(secret) > 7) assert_null(strstr(fault.what, secret)); /* what it says is told to a stranger */
    return fault.kind;
}

static void test_standard_webhooks(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"right", SW_SECRET, SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_NONE},
        {"without its prefix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW,
         FAULT_NONE},
        {"another vector", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553",
         "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
         "{\"email\":\"test@example.com\",\"username\":\"test_user\"}", 1649367553000, FAULT_NONE},
        {"one of several", SW_SECRET, SW_ID, SW_TIME,
         "v1,AAAA v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= " SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_NONE},
        {"five minutes late", SW_SECRET, SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW + 300000, FAULT_NONE},
        {"more than that", SW_SECRET, SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW + 300001, FAULT_UNAUTHORIZED},
        {"five minutes early", SW_SECRET, SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW - 300000, FAULT_NONE},
        {"more than that", SW_SECRET, SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW - 300001, FAULT_UNAUTHORIZED},
        {"another body", SW_SECRET, SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY " ", SW_NOW, FAULT_UNAUTHORIZED},
        {"another id", SW_SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJel", SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW,
         FAULT_UNAUTHORIZED},
        {"another time", SW_SECRET, SW_ID, "1614265331", SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_UNAUTHORIZED},
        {"another secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW,
         FAULT_UNAUTHORIZED},
        {"another version", SW_SECRET, SW_ID, SW_TIME, "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", SW_BODY,
         SW_NOW, FAULT_UNAUTHORIZED},
        {"cut short", SW_SECRET, SW_ID, SW_TIME, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE", SW_BODY, SW_NOW,
         FAULT_UNAUTHORIZED},
        {"nothing behind it", SW_SECRET, SW_ID, SW_TIME, "v1,", SW_BODY, SW_NOW, FAULT_UNAUTHORIZED},
        {"empty", SW_SECRET, SW_ID, SW_TIME, "", SW_BODY, SW_NOW, FAULT_UNAUTHORIZED},
        {"no signature", SW_SECRET, SW_ID, SW_TIME, NULL, SW_BODY, SW_NOW, FAULT_UNAUTHORIZED},
        {"no id", SW_SECRET, NULL, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_UNAUTHORIZED},
        {"no time", SW_SECRET, SW_ID, NULL, SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_UNAUTHORIZED},
        {"a time that is none", SW_SECRET, SW_ID, "1614265330.0", SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_UNAUTHORIZED},
        {"a time before time", SW_SECRET, SW_ID, "-1", SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_UNAUTHORIZED},
        {"a time without end", SW_SECRET, SW_ID, "9223372036854775807", SW_SIGNATURE, SW_BODY, SW_NOW,
         FAULT_UNAUTHORIZED},
        {"a secret that is none", "whsec_!", SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_INTERNAL},
        {"a secret of nothing", "whsec_", SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_INTERNAL},
        {"no secret", "", SW_ID, SW_TIME, SW_SIGNATURE, SW_BODY, SW_NOW, FAULT_INTERNAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply_header headers[3];
        struct reply message = {.headers = headers, .body = text_of(rows[i].body)};
        if (rows[i].id) headers[message.header_count++] = (struct reply_header){"Webhook-Id", rows[i].id};
        if (rows[i].time) headers[message.header_count++] = (struct reply_header){"webhook-timestamp", rows[i].time};
        if (rows[i].signature)
            headers[message.header_count++] = (struct reply_header){"webhook-signature", rows[i].signature};
        enum fault_kind found = check(VERIFY_STANDARD_WEBHOOKS, rows[i].secret, &message, rows[i].now_ms);
        if (found != rows[i].fault) fail_msg("%s: %s", rows[i].what, fault_word(found));
    }
}

static void test_one_header(void **state) {
    (void)state;
    static const struct {
        enum stage_verify kind;
        const char *secret, *name, *value, *body;
        enum fault_kind fault;
    } rows[] = {
        {VERIFY_GITHUB, GITHUB_SECRET, "X-Hub-Signature-256", GITHUB_SIGNATURE, GITHUB_BODY, FAULT_NONE},
        {VERIFY_GITHUB, GITHUB_SECRET, "x-hub-signature-256", GITHUB_SIGNATURE, GITHUB_BODY, FAULT_NONE},
        {VERIFY_GITHUB, GITHUB_SECRET, "X-Hub-Signature", GITHUB_SIGNATURE, GITHUB_BODY, FAULT_UNAUTHORIZED},
        {VERIFY_GITHUB, GITHUB_SECRET, "X-Hub-Signature-256", GITHUB_SIGNATURE, "Hello, World", FAULT_UNAUTHORIZED},
        {VERIFY_GITHUB, GITHUB_SECRET, "X-Hub-Signature-256",
         "sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", GITHUB_BODY, FAULT_UNAUTHORIZED},
        {VERIFY_GITHUB, GITHUB_SECRET, "X-Hub-Signature-256", "sha256=", GITHUB_BODY, FAULT_UNAUTHORIZED},
        {VERIFY_GITHUB, GITHUB_SECRET, "X-Hub-Signature-256", "", GITHUB_BODY, FAULT_UNAUTHORIZED},
        {VERIFY_GITHUB, GITHUB_SECRET, "X-Hub-Signature-256", GITHUB_SIGNATURE "0", GITHUB_BODY, FAULT_UNAUTHORIZED},
        {VERIFY_GITHUB, "another", "X-Hub-Signature-256", GITHUB_SIGNATURE, GITHUB_BODY, FAULT_UNAUTHORIZED},
        {VERIFY_GITHUB, "", "X-Hub-Signature-256", GITHUB_SIGNATURE, GITHUB_BODY, FAULT_INTERNAL},
        {VERIFY_BEARER, "s3cret", "Authorization", "Bearer s3cret", "", FAULT_NONE},
        {VERIFY_BEARER, "s3cret", "authorization", "bearer  s3cret ", "", FAULT_NONE},
        {VERIFY_BEARER, "s3cret", "Authorization", "Bearer s3cre", "", FAULT_UNAUTHORIZED},
        {VERIFY_BEARER, "s3cret", "Authorization", "Bearer s3cret2", "", FAULT_UNAUTHORIZED},
        {VERIFY_BEARER, "s3cret", "Authorization", "Bearer ", "", FAULT_UNAUTHORIZED},
        {VERIFY_BEARER, "s3cret", "Authorization", "Basic s3cret", "", FAULT_UNAUTHORIZED},
        {VERIFY_BEARER, "s3cret", "Cookie", "Bearer s3cret", "", FAULT_UNAUTHORIZED},
        {VERIFY_BEARER, "", "Authorization", "Bearer ", "", FAULT_INTERNAL},
        {VERIFY_NONE, "", "Cookie", "x", "", FAULT_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply_header header = {rows[i].name, rows[i].value};
        struct reply message = {.headers = &header, .header_count = 1, .body = text_of(rows[i].body)};
        enum fault_kind found = check(rows[i].kind, rows[i].secret, &message, SW_NOW);
        if (found != rows[i].fault) fail_msg("row %zu (%s): %s", i, rows[i].value, fault_word(found));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard_webhooks),
        cmocka_unit_test(test_one_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
