/* The embedded store: one file, `sqlite:PATH`. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store/driver.h"

extern const struct store_driver sqlite_driver;

#endif
