/* Certificates against the hosts that they are shown for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transfer_world.h"

static enum script_after answers(struct script_end *end, unsigned index) {
    (void)index;
    script_puts(end, "HTTP/1.1 204 No Content\r\n\r\n");
    return AFTER_KEEP;
}

/* A certificate of its own, with these names, which is trusted. */
static void issue(const char *names, EVP_PKEY *key, X509 *certificate) {
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), HOUR_MS / 1000);
    X509_set_pubkey(certificate, key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"common.test", -1, -1, 0);
    X509_set_issuer_name(certificate, subject);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
}

static void call(const char *names, const char *host, bool good) {
    struct script script = {.answer = answers};
    struct world world;
    char ca[64];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    issue(names, key, certificate);
    snprintf(ca, sizeof ca, "%s/names.pem", tls_dir);
    write_pem(ca, NULL, certificate);
    script.tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(script.tls, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(script.tls, key), 1);
    script_start(&script);
    world_init(&world);
    add_tls(&world, &script, host, (struct stage_tls){.ca = ca});
    world_run(&world);
    print_message("  %s for %s: %s\n", names, host, good ? "good" : world.replies[0]->fault->what);
    if (good) assert_phase(world.replies[0], REPLY_ANSWERED);
    else if (host[0] == '.') assert_failed(world.replies[0], REPLY_NEVER_SENT, FAULT_UPSTREAM, "the host is none that");
    else assert_failed(world.replies[0], REPLY_NEVER_SENT, FAULT_UPSTREAM, "the certificate is not one of ");
    world_fini(&world);
    script_stop(&script);
    assert_int_equal(atomic_load(&script.requests), good);
    SSL_CTX_free(script.tls);
    script_fini(&script);
    X509_free(certificate);
    EVP_PKEY_free(key);
    unlink(ca);
}

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *names, *host;
        bool good;
    } cases[] = {
        {"DNS:a.test", "a.test", true},
        {"DNS:a.test", "A.test", true},
        {"DNS:a.test", "a.test.", true},
        {"DNS:b.test,DNS:a.test", "a.test", true},
        {"DNS:b.test", "a.test", false},
        {"DNS:b.test", "common.test", false},
        {"DNS:a.test.example.com", "a.test", false},
        {"DNS:a.x.test", ".x.test", false},
        {"DNS:*.x.test", "a.x.test", true},
        {"DNS:*.x.test", "x.test", false},
        {"DNS:*.x.test", "b.a.x.test", false},
        {"DNS:a*.x.test", "ab.x.test", false},
        {"DNS:*", "a.test", false},
        {"IP:127.0.0.1", "127.0.0.1", true},
        {"IP:127.0.0.1", "127.1", true},
        {"IP:127.0.0.2", "127.0.0.1", false},
        {"DNS:127.0.0.1", "127.0.0.1", false},
        {"DNS:*.0.0.1", "127.0.0.1", false},
        {"IP:127.0.0.1", "a.test", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) call(cases[i].names, cases[i].host, cases[i].good);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
