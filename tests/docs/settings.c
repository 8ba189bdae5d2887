/* Prints the reference of a definition's settings, for docs/definitions.md: `make docs` puts it there. */
#include <stdio.h>

#include "stage/fields.h"

int main(void) {
    struct buf reference;
    buf_init(&reference, 1 << 20);
    fields_print_reference(&reference);
    fputs(buf_cstr(&reference), stdout);
    buf_fini(&reference);
    return 0;
}
