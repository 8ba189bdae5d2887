/* How OpenSSL reads and writes a connection of ours, of clients and of upstreams. */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include "base/text.h"

struct ssl_st; /* OpenSSL's SSL */

/* `ssl` reads the socket itself, without reading ahead, and hands what is to be written to `send`, which takes all of
 * it: so nothing that OpenSSL writes ever has to be written again. `arg` must outlive `ssl`. */
void wire_attach(struct ssl_st *ssl, int fd, void (*send)(void *arg, struct text bytes), void *arg);

#endif
