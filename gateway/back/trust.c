/* TLS settings of a call.
 *
 * Left alone, libcurl 7.88 reads the system's CA bundle again for every connection: 30 ms in which the loop stands
 * still. So the system's store is made once for the process and installed by SSL_CTX_FUNCTION; curl's own CA settings
 * are emptied for those calls.
 *
 * A definition's own CA is left to curl (CAINFO), for two reasons: curl keeps connections and TLS sessions apart by the
 * settings that it knows (CAINFO, SSLCERT, verification), so a connection that one CA vouched for is never used by a
 * call that trusts another; and the file is looked at again for new connections, so that it can be rotated in place.
 * curl caches one such store a loop. Its cache is not used for the system's, which would push the other out. */
#include "back/trust.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/mem.h"

static X509_STORE *system_store; /* written once before threads; counted and locked by OpenSSL itself */

void trust_global_init(void) {
    if (system_store) return;
    system_store = X509_STORE_new();
    X509_STORE_set_default_paths(system_store); /* obeys SSL_CERT_FILE and SSL_CERT_DIR */
}

static CURLcode install_system_store(CURL *easy, void *context, void *unused) {
    (void)easy, (void)unused;
    if (!X509_STORE_up_ref(system_store)) return CURLE_SSL_CERTPROBLEM;
    SSL_CTX_set_cert_store(context, system_store);
    return CURLE_OK;
}

void trust_forget(struct trust *trust) {
    mem_free(trust->ca);
    mem_free(trust->certificate);
    mem_free(trust->key);
    *trust = (struct trust){0};
}

static bool same(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

void trust_equip(struct trust *trust, CURL *easy, const struct stage_tls *tls, bool own_origin) {
    const char *certificate = own_origin ? tls->certificate : NULL, *key = certificate ? tls->key : NULL;
    if (trust->known && trust->insecure == tls->insecure && same(trust->ca, tls->ca) &&
        same(trust->certificate, certificate) && same(trust->key, key))
        return;
    trust_forget(trust);
    *trust = (struct trust){.known = true,
                            .insecure = tls->insecure,
                            .ca = mem_strdup(tls->ca),
                            .certificate = mem_strdup(certificate),
                            .key = mem_strdup(key)};
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca);
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, tls->ca ? 60L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, tls->ca ? NULL : install_system_store);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls->insecure ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls->insecure ? 0L : 2L);
    curl_easy_setopt(easy, CURLOPT_SSLCERT, certificate);
    curl_easy_setopt(easy, CURLOPT_SSLKEY, key);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}
