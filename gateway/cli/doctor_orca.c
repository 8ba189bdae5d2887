/* What orca would make of a URL of the gateway.
 *
 * orca is not asked: its rules are applied here, as its code has them, with what orca.yml says where it says nothing.
 * Names are looked up, and the connection is made, from where doctor runs; what orca's machine sees may differ, so
 * doctor is best run there, or in a pod beside it. A JVM has authorities of its own: a private one that this machine
 * trusts is not known to it, which is why --ca is said to be one that orca has to be told of. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/doctor.h"
#include "cli/input.h"
#include "lang/url.h"
#include "orca/compare.h"
#include "orca/spring.h"
#include "orca/url_rules.h"
#include "orca/yaml_read.h"

#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)
#define DAYS_LEAST 21
#define ADDRESSES_MAX 64
#define TRUST_FILE "/opt/spinnaker/config/stagedoor-ca.pem" /* on orca's machine */

static const char *host_of(struct arena *arena, const struct url *url) {
    struct text host = url->host;
    if (host.len > 2 && host.at[0] == '[') host = (struct text){host.at + 1, host.len - 2};
    return arena_strndup(arena, host.at, host.len);
}

/* ---- what orca is told already ---- */

static bool trusts_more(struct yaml *const *documents, size_t count) {
    bool more = false;
    for (size_t i = 0; i < count; i++) {
        const struct yaml *enabled = spring_member(spring_find(documents[i], "webhook", "trust"), "enabled");
        more = more || text_is_nocase(yaml_as_text(enabled), "true");
    }
    return more;
}

bool doctor_read_orca(struct doctor *d, struct fault *fault) {
    struct compare compare = {.arena = d->arena};
    struct yaml **documents;
    struct buf bytes;
    d->url_rules = url_rules_presets;
    if (!d->orca_file) return true;
    buf_init(&bytes, YAML_MAX_BYTES);
    bool ok = input_read(d->orca_file, &bytes, fault) &&
              yaml_read(d->arena, buf_text(&bytes), d->orca_file, &documents, &compare.document_count, fault);
    if (ok) {
        compare.documents = documents;
        d->url_rules = compare_url_rules(&compare);
        d->orca_trusts = trusts_more(documents, compare.document_count);
    }
    buf_fini(&bytes);
    return ok;
}

/* ---- the name ---- */

/* Only an address of this machine can be bound. */
static bool is_own(const struct addrinfo *found) {
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {0};
    memcpy(&address, found->ai_addr, found->ai_addrlen < sizeof address ? found->ai_addrlen : sizeof address);
    if (address.any.sa_family == AF_INET) address.four.sin_port = 0;
    else address.six.sin6_port = 0;
    int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool own = bind(fd, &address.any, found->ai_addrlen) == 0;
    close(fd);
    return own;
}

static bool look_up(struct arena *arena, const char *host, struct url_rules_host *ret_host, const char **ret_error) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char **addresses = arena_array_of(arena, const char *, ADDRESSES_MAX);
    int failed = getaddrinfo(host, NULL, &hints, &found);
    *ret_host = (struct url_rules_host){.addresses = addresses};
    if (failed) {
        *ret_error = gai_strerror(failed);
        return false;
    }
    for (const struct addrinfo *one = found; one && ret_host->address_count < ADDRESSES_MAX; one = one->ai_next) {
        char text[NI_MAXHOST];
        if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0) continue;
        text[strcspn(text, "%")] = 0; /* the zone of a link-local one */
        addresses[ret_host->address_count++] = arena_strdup(arena, text);
        ret_host->own = ret_host->own || is_own(one);
    }
    freeaddrinfo(found);
    return true;
}

static void tell_addresses(struct doctor *d, const char *host, const struct url_rules_host *found) {
    struct buf all;
    buf_init(&all, 8 * 1024);
    for (size_t i = 0; i < found->address_count; i++) buf_addf(&all, "%s%s", i ? ", " : "", found->addresses[i]);
    findings_add(&d->findings, FINDINGS_OK, "name", NULL, "%s leads to %s, from here", host, buf_cstr(&all));
    buf_fini(&all);
}

/* ---- orca's rules ---- */

static void put(struct doctor *d, const char *section, const char *setting, const struct json *value) {
    struct json *settings = json_new_object(d->arena);
    const struct json *before = json_gets(d->orca_yml, section);
    for (struct json_member m = json_first(before); m.name.at; m = json_next(before, m))
        json_set_text(settings, m.name, m.value);
    json_set(settings, setting, value);
    json_set(d->orca_yml, section, settings);
}

static void check_rules(struct doctor *d, const struct url *url, const struct url_rules_host *host) {
    struct url_rules_breach breaches[URL_RULES_BREACHES_MAX];
    size_t count = url_rules_check(d->arena, &d->url_rules, url, host, breaches);
    if (!count)
        findings_add(&d->findings, FINDINGS_OK, "url-rules", NULL, "orca calls it, %s%s",
                     d->orca_file ? "by the user-configured-url-restrictions of "
                                  : "unless orca.yml changes its restrictions",
                     d->orca_file ? d->orca_file : "");
    for (size_t i = 0; i < count; i++) {
        const struct url_rules_breach *breach = &breaches[i];
        const char *mend = arena_printf(d->arena, "%s of user-configured-url-restrictions in orca.yml, see below",
                                        breach->setting ? breach->setting : "check");
        findings_add(&d->findings, breach->own_only ? FINDINGS_WARNING : FINDINGS_FAILED, "url-rules", mend,
                     "orca will not call it%s: %s", breach->own_only ? " if it runs on this machine" : "",
                     breach->what);
        if (breach->setting) put(d, "user-configured-url-restrictions", breach->setting, breach->value);
    }
}

/* ---- TLS ---- */

/* As X.509 writes them: "DNS:gw.example.com, IP Address:10.0.0.5". */
static void check_names(struct doctor *d, const struct probe_result *seen) {
    if (!seen->has_certificate || seen->names) return;
    findings_add(&d->findings, FINDINGS_FAILED, "tls", "have it issued with subjectAltName = DNS:…",
                 "the certificate (%s) has no subjectAltName, and orca's client looks at no other name", seen->subject);
}

static void check_expiry(struct doctor *d, const struct probe_result *seen) {
    char text[CLOCK_TEXT_SIZE];
    int64_t left_ms = seen->expires_ms - clock_wall_ms(), days = left_ms / DAY_MS;
    if (!seen->expires_ms) return;
    clock_format(seen->expires_ms, text);
    if (left_ms < 0)
        findings_add(&d->findings, FINDINGS_FAILED, "tls", "renew it", "the certificate %s ended at %s",
                     seen->expires_of, text);
    else if (days < DAYS_LEAST)
        findings_add(&d->findings, FINDINGS_WARNING, "tls", "renew it, and have SIGHUP sent to the gateway",
                     "the certificate %s ends in %lld days, at %s", seen->expires_of, (long long)days, text);
    else
        findings_add(&d->findings, FINDINGS_OK, "tls", NULL, "%s, issued by %s, ends in %lld days", seen->subject,
                     seen->issuer, (long long)days);
}

/* orca's own: `webhook.trust` adds authorities to those of the JVM. */
static void suggest_trust(struct doctor *d) {
    struct json *trust = json_new_object(d->arena);
    json_set(trust, "enabled", json_new_bool(d->arena, true));
    json_set(trust, "trustPem", json_new_string(d->arena, TRUST_FILE));
    put(d, "webhook", "trust", trust);
}

static void tell_untrusted(struct doctor *d, const char *url, const struct probe_result *first) {
    struct probe_result seen;
    doctor_probe(d, url, "/health", true, &seen);
    check_names(d, &seen);
    if (seen.expires_ms && seen.expires_ms < clock_wall_ms()) check_expiry(d, &seen);
    else if (strstr(first->error, "not yet valid") || strstr(first->error, "expired"))
        findings_add(&d->findings, FINDINGS_FAILED, "tls",
                     "renew it, or set the clock: one of the chain is out of its time", "%s: %s, issued by %s",
                     first->error, seen.subject, seen.issuer);
    else if (strstr(first->error, "subject name"))
        findings_add(&d->findings, FINDINGS_FAILED, "tls", "have it issued for the name that public_url has",
                     "%s; it is for %s", first->error, seen.names ? seen.names : seen.subject);
    else {
        findings_add(
            &d->findings, FINDINGS_FAILED, "tls",
            "send the whole chain (tls_certificate holds it); tell orca of a private authority, see below, and "
            "doctor by --ca FILE",
            "%s: %s, issued by %s", first->error, seen.subject, seen.issuer);
        suggest_trust(d);
    }
}

/* With --ca: whether this machine would trust it without. */
static void check_private(struct doctor *d, const char *url) {
    struct probe_result seen;
    const char *ca = d->client.ca;
    if (!ca) return;
    d->client.ca = NULL;
    doctor_probe(d, url, "/health", false, &seen);
    d->client.ca = ca;
    if (!seen.untrusted) return;
    if (d->orca_trusts) {
        findings_add(&d->findings, FINDINGS_OK, "tls", NULL,
                     "only --ca makes the certificate good; %s names authorities for orca (webhook.trust)",
                     d->orca_file);
        return;
    }
    findings_add(&d->findings, FINDINGS_WARNING, "tls",
                 "tell orca of it: copy the file there, and set webhook.trust, see below",
                 "only --ca makes the certificate good, and a JVM does not know that authority");
    suggest_trust(d);
}

static void check_tls(struct doctor *d, const char *url, const struct probe_result *seen) {
    check_names(d, seen);
    check_expiry(d, seen);
    check_private(d, url);
}

/* ---- all of it ---- */

static bool is_loopback(const struct url_rules_host *host) {
    for (size_t i = 0; i < host->address_count; i++)
        if (strncmp(host->addresses[i], "127.", 4) != 0 && strcmp(host->addresses[i], "::1") != 0) return false;
    return host->address_count > 0;
}

static void check_answer(struct doctor *d, const char *url, const struct probe_result *seen) {
    const char *status = json_gets_text(seen->body, "status");
    if (seen->code == 200 && status && strcmp(status, "UP") == 0)
        findings_add(&d->findings, FINDINGS_OK, "public", NULL, "%s answers", url);
    else if (seen->code >= 300 && seen->code < 400)
        findings_add(&d->findings, FINDINGS_FAILED, "public", "name the URL that it leads to",
                     "%s answers with a redirect (%d), behind which a POST becomes a GET", url, seen->code);
    else
        findings_add(&d->findings, FINDINGS_FAILED, "public",
                     "it has to lead to the gateway with every path, and with any Host that is public_url's",
                     "%s/health answers %d, not as a gateway does", url, seen->code);
}

static bool check_connection(struct doctor *d, const char *url, const struct url_rules_host *host) {
    struct probe_result seen;
    doctor_probe(d, url, "/health", false, &seen);
    if (!seen.answered && seen.untrusted) tell_untrusted(d, url, &seen);
    else if (!seen.answered && d->settings && d->settings->tls_client_ca[0])
        findings_add(&d->findings, FINDINGS_WARNING, "public",
                     "webhook.identity in orca.yml names it; doctor has none to show, and looks no further",
                     "%s asks for a client certificate", url);
    else if (!seen.answered)
        findings_add(&d->findings, FINDINGS_FAILED, "public",
                     "orca fails a stage at once when it is refused or not secured",
                     "%s cannot be called from here: %s", url, seen.error);
    else if (seen.tls) check_tls(d, url, &seen);
    else if (!is_loopback(host))
        findings_add(&d->findings, FINDINGS_WARNING, "tls", "have an ingress or tls: in listen speak TLS",
                     "the token goes over http, for all on the way to read");
    if (seen.answered) check_answer(d, url, &seen);
    return seen.answered && seen.code == 200;
}

bool doctor_orca(struct doctor *doctor, const char *url) {
    struct url parts;
    struct url_rules_host host;
    struct fault fault;
    const char *error;
    if (!url_parse(text_of(url), &parts, &fault)) {
        findings_add(&doctor->findings, FINDINGS_FAILED, "public", "public_url = \"https://…\"", "%s: %s", url,
                     fault.what);
        return false;
    }
    const char *name = host_of(doctor->arena, &parts);
    bool known = look_up(doctor->arena, name, &host, &error);
    if (known) tell_addresses(doctor, name, &host);
    else
        findings_add(&doctor->findings, FINDINGS_FAILED, "name",
                     "orca's machine has to know the name: a stage fails at once where it does not",
                     "%s is not known here: %s", name, error);
    check_rules(doctor, &parts, &host);
    return known && check_connection(doctor, url, &host);
}
