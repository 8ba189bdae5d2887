/* A BIO (OpenSSL's word for where bytes go) that is a function of ours. front/tls and back/stream attach one to each of
 * their sessions; it goes with the session. */
#include "base/wire.h"

#include <pthread.h>

#include <openssl/ssl.h>

#include "base/mem.h"

struct outlet {
    void (*send)(void *arg, struct text bytes);
    void *arg;
};

static int on_write(BIO *bio, const char *at, int len) {
    const struct outlet *outlet = BIO_get_data(bio);
    outlet->send(outlet->arg, (struct text){at, (size_t)len});
    return len;
}

static long on_control(BIO *bio, int what, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return what == BIO_CTRL_FLUSH;
}

static int on_destroy(BIO *bio) {
    mem_free(BIO_get_data(bio));
    return 1;
}

static BIO_METHOD *method; /* written once */

static void make_method(void) {
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    BIO_meth_set_write(method, on_write);
    BIO_meth_set_ctrl(method, on_control);
    BIO_meth_set_destroy(method, on_destroy);
}

void wire_attach(SSL *ssl, int fd, void (*send)(void *arg, struct text bytes), void *arg) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    struct outlet *outlet = mem_alloc(sizeof *outlet);
    *outlet = (struct outlet){send, arg};
    BIO *bio = BIO_new(method);
    BIO_set_data(bio, outlet);
    SSL_set0_rbio(ssl, BIO_new_socket(fd, BIO_NOCLOSE));
    SSL_set0_wbio(ssl, bio);
}
