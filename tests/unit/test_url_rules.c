/* orca's rules for URLs: the cases of its own UserConfiguredUrlRestrictionsSpec, by table, and what would have to
 * change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "orca/url_rules.h"

#define PUBLIC "93.184.215.14"

/* "setting=value, …" of all breaches; "" where orca takes the URL. */
static const char *judge(struct arena *arena, const struct url_rules *rules, const char *source, const char *address,
                         bool own) {
    struct url url;
    struct fault fault;
    struct url_rules_breach breaches[URL_RULES_BREACHES_MAX];
    if (!url_parse(text_of(source), &url, &fault)) fail_msg("%s: %s", source, fault.what);
    struct url_rules_host host = {.addresses = &address, .address_count = address ? 1 : 0, .own = own};
    size_t count = url_rules_check(arena, rules, &url, &host, breaches);
    struct buf out;
    buf_init(&out, 10000);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(breaches[i].what);
        buf_addf(&out, "%s%s=", i ? ", " : "", breaches[i].setting ? breaches[i].setting : "nothing");
        if (breaches[i].value) json_write(&out, breaches[i].value);
        if (breaches[i].own_only) buf_adds(&out, " here");
    }
    const char *made = arena_strdup(arena, buf_cstr(&out));
    buf_fini(&out);
    return made;
}

static void test_presets(void **state) {
    (void)state;
    static const struct {
        const char *url, *address, *wanted;
        bool own;
    } rows[] = {
        {"https://google.com", PUBLIC, "", false},
        {"https://spinnaker.io/foo/bar", PUBLIC, "", false},
        {"https://echo.external", PUBLIC, "", false},
        {"http://foo.bar", PUBLIC, "", false},
        {"https://gw.ops.svc:8095/door", "10.1.2.3", "", false},
        {"https://gw.spinnaker.svc", "10.1.2.3", "", false},
        {"https://local", PUBLIC, "allowedHostnamesRegex=\".*\\\\..+|local\"", false},
        {"https://notlocal.com", PUBLIC, "", false},
        {"https://a.notlocal", PUBLIC, "", false},
        {"https://orca", PUBLIC, "allowedHostnamesRegex=\".*\\\\..+|orca\"", false},
        {"https://spin-orca", PUBLIC, "allowedHostnamesRegex=\".*\\\\..+|spin-orca\"", false},
        {"https://gw.ops.svc.cluster.local", "10.1.2.3", "excludedDomains=[\"spinnaker\",\"localdomain\",\"internal\"]",
         false},
        {"https://GW.Ops.Svc.Cluster.LOCAL", "10.1.2.3", "excludedDomains=[\"spinnaker\",\"localdomain\",\"internal\"]",
         false},
        {"https://echo.internal", PUBLIC, "excludedDomains=[\"spinnaker\",\"local\",\"localdomain\"]", false},
        {"https://orca.spinnaker/admin", PUBLIC, "excludedDomains=[\"local\",\"localdomain\",\"internal\"]", false},
        {"https://localhost", "127.0.0.1", "rejectLocalhost=false", false},
        {"http://localhost:8095", "::1", "rejectLocalhost=false", false},
        {"http://127.0.0.1", "127.0.0.1", "rejectVerbatimIps=false, rejectLocalhost=false", false},
        {"https://[::1]:80", "::1", "rejectVerbatimIps=false, rejectLocalhost=false", false},
        {"https://192.168.0.1", "192.168.0.1", "rejectVerbatimIps=false", false},
        {"https://[fd12:3456:789a:1::1]:8080", "fd12:3456:789a:1::1", "rejectVerbatimIps=false", false},
        {"http://meta.example.com", "169.254.169.254", "rejectLinkLocal=false", false},
        {"http://six.example.com", "fe80::1", "rejectLinkLocal=false", false},
        {"http://six.example.com", "febf::1", "rejectLinkLocal=false", false},
        {"http://six.example.com", "fec0::1", "", false},
        {"https://gw.example.com", "10.0.0.7", "rejectLocalhost=false here", true},
        {"https://gw", "10.0.0.7", "rejectLocalhost=false here, allowedHostnamesRegex=\".*\\\\..+|gw\"", true},
        {"https://gw.example.com", NULL, "", false},
    };
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = judge(arena, &url_rules_presets, rows[i].url, rows[i].address, rows[i].own);
        if (strcmp(got, rows[i].wanted) != 0) fail_msg("%s: got %s, wanted %s", rows[i].url, got, rows[i].wanted);
    }
    arena_free(arena);
}

static void test_settings(void **state) {
    (void)state;
    static const char *const https[] = {"https"},
                             *const blocks[] = {"192.168.0.0/16", "10.0.0.0/8", "fd00::/9", "1.2.3.4"},
                             *const digits[] = {".+\\d+.+", ".+-+.+"}, *const corp[] = {"corp.example.com"};
    struct url_rules only_https = url_rules_presets, by_block = url_rules_presets, by_pattern = url_rules_presets,
                     local = url_rules_presets, one = url_rules_presets, java = url_rules_presets,
                     nothing = url_rules_presets, domain = url_rules_presets;
    only_https.schemes = (struct url_rules_list){https, 1};
    by_block.rejected_ips = (struct url_rules_list){blocks, 4};
    by_block.reject_verbatim_ips = false;
    by_pattern.extra_excluded_patterns = (struct url_rules_list){digits, 2};
    local.reject_localhost = false;
    local.hostnames = "this_does_not_match";
    one.hostnames = "gw\\.example\\.com";
    java.hostnames = "(";
    nothing.hostnames = "";
    domain.excluded_domains = (struct url_rules_list){corp, 1};
    const struct {
        const struct url_rules *rules;
        const char *url, *address, *wanted;
    } rows[] = {
        {&only_https, "http://a.example.com", PUBLIC, "allowedSchemes=[\"https\",\"http\"]"},
        {&only_https, "HTTPS://a.example.com", PUBLIC, ""},
        {&by_block, "https://192.168.16.22", "192.168.16.22", "rejectedIps=[\"10.0.0.0/8\",\"fd00::/9\",\"1.2.3.4\"]"},
        {&by_block, "https://a.example.com", "10.255.0.1", "rejectedIps=[\"192.168.0.0/16\",\"fd00::/9\",\"1.2.3.4\"]"},
        {&by_block, "https://a.example.com", "fd7f::1", "rejectedIps=[\"192.168.0.0/16\",\"10.0.0.0/8\",\"1.2.3.4\"]"},
        {&by_block, "https://a.example.com", "1.2.3.4", "rejectedIps=[\"192.168.0.0/16\",\"10.0.0.0/8\",\"fd00::/9\"]"},
        {&by_block, "https://a.example.com", "fd80::1", ""},
        {&by_block, "https://a.example.com", "11.0.0.1", ""},
        {&by_pattern, "http://asdf2345.com", PUBLIC, "extraExcludedPatterns=[\".+-+.+\"]"},
        {&by_pattern, "http://foobar.com", PUBLIC, ""},
        {&local, "http://localhost:8095", "127.0.0.1", ""},
        {&local, "http://gw.example.com", PUBLIC,
         "allowedHostnamesRegex=\"this_does_not_match|gw\\\\.example\\\\.com\""},
        {&one, "http://gw.example.com", PUBLIC, ""},
        {&one, "http://gwxexample.com", PUBLIC, "allowedHostnamesRegex=\"gw\\\\.example\\\\.com|gwxexample\\\\.com\""},
        {&java, "http://gw.example.com", PUBLIC, "nothing="},
        {&nothing, "http://gw.example.com", PUBLIC, "allowedHostnamesRegex=\"gw\\\\.example\\\\.com\""},
        {&domain, "http://gw.corp.example.com", PUBLIC, "excludedDomains=[]"},
        {&domain, "http://corp.example.com", PUBLIC, ""},
    };
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = judge(arena, rows[i].rules, rows[i].url, rows[i].address, false);
        if (strcmp(got, rows[i].wanted) != 0) fail_msg("%s: got %s, wanted %s", rows[i].url, got, rows[i].wanted);
    }
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_presets), cmocka_unit_test(test_settings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
