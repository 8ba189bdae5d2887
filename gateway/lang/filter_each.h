/* The functions behind the rows of the filter and test tables. Private to lang/filter*.c. */
#ifndef LANG_FILTER_EACH_H
#define LANG_FILTER_EACH_H

#include "lang/filter.h"

#define FILTER_APPLY(name) bool filter_##name(const struct filter_call *call, struct value value, struct value *ret)
#define FILTER_ASK(name) bool filter_is_##name(const struct filter_call *call, struct value value, bool *ret)

/* filter_text.c */
FILTER_APPLY(upper);
FILTER_APPLY(lower);
FILTER_APPLY(trim);
FILTER_APPLY(replace);
FILTER_APPLY(split);
FILTER_APPLY(truncate);
FILTER_APPLY(indent);
FILTER_APPLY(string);
FILTER_APPLY(regex_replace);
FILTER_APPLY(regex_search);
FILTER_ASK(match);
FILTER_ASK(search);
/* filter_test.c */
FILTER_ASK(defined);
FILTER_ASK(undefined);
FILTER_ASK(none);
FILTER_ASK(string);
FILTER_ASK(number);
FILTER_ASK(integer);
FILTER_ASK(float);
FILTER_ASK(boolean);
FILTER_ASK(yes);
FILTER_ASK(no);
FILTER_ASK(mapping);
FILTER_ASK(sequence);
FILTER_ASK(odd);
FILTER_ASK(even);
FILTER_ASK(divisibleby);
FILTER_ASK(in);
FILTER_ASK(eq);
FILTER_ASK(ne);
FILTER_ASK(lt);
FILTER_ASK(le);
FILTER_ASK(gt);
FILTER_ASK(ge);
FILTER_ASK(lower);
FILTER_ASK(upper);
/* filter_code.c */
FILTER_APPLY(tojson);
FILTER_APPLY(fromjson);
FILTER_APPLY(urlencode);
FILTER_APPLY(b64encode);
FILTER_APPLY(b64decode);
FILTER_APPLY(sha256);
FILTER_APPLY(hmac_sha256);
FILTER_APPLY(jsonpath);
FILTER_APPLY(keep);
/* filter_number.c */
FILTER_APPLY(round);
FILTER_APPLY(int);
FILTER_APPLY(float);
FILTER_APPLY(abs);
FILTER_APPLY(bool);
FILTER_APPLY(format_time);
FILTER_APPLY(to_seconds);
/* filter_list.c */
FILTER_APPLY(join);
FILTER_APPLY(first);
FILTER_APPLY(last);
FILTER_APPLY(length);
FILTER_APPLY(list);
FILTER_APPLY(reverse);
FILTER_APPLY(sort);
FILTER_APPLY(unique);
FILTER_APPLY(map);
FILTER_APPLY(select);
FILTER_APPLY(reject);
FILTER_APPLY(selectattr);
FILTER_APPLY(rejectattr);
FILTER_APPLY(sum);
FILTER_APPLY(min);
FILTER_APPLY(max);
FILTER_APPLY(dictsort);
FILTER_APPLY(items);

/* What they share: filter.c */
bool filter_fault(const struct filter_call *call, enum fault_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool filter_wrong_kind(const struct filter_call *call, struct value value, const char *wanted);
bool filter_made(const struct filter_call *call, struct buf *out, struct value *ret);
bool filter_flag(const struct filter_call *call, size_t argument, bool otherwise); /* whether the argument is true */
/* An argument of that kind; *ret is `otherwise` where it is not given. */
bool filter_text_argument(const struct filter_call *call, size_t argument, const char *otherwise, struct text *ret);
bool filter_int_argument(const struct filter_call *call, size_t argument, int64_t otherwise, int64_t *ret);
/* The value of a dotted attribute, a.b.0; absent where there is none. */
struct value filter_attribute(struct value value, struct text path);
bool filter_is_space(struct text t, size_t at, size_t *ret_len); /* as Python's str.strip() sees it */
void filter_change_case(struct buf *out, struct text t, bool upper);

#endif
