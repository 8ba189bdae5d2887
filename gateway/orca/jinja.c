/* Writes names, strings and literal text of the template language.
 *
 * What comes out means what went in, whatever it holds: it is used for text of files that a stranger wrote. */
#include "orca/jinja.h"

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool jinja_is_name(struct text name) {
    static const char *const words[] = {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "null"};
    if (!name.len || !is_letter(name.at[0])) return false;
    for (size_t i = 1; i < name.len; i++)
        if (!is_letter(name.at[i]) && !(name.at[i] >= '0' && name.at[i] <= '9')) return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (text_is_nocase(name, words[i])) return false;
    return true;
}

void jinja_add_member(struct buf *out, struct text name) {
    if (jinja_is_name(name)) {
        buf_addc(out, '.');
        buf_addt(out, name);
        return;
    }
    buf_addc(out, '[');
    jinja_add_string(out, name);
    buf_addc(out, ']');
}

void jinja_add_string(struct buf *out, struct text value) {
    buf_addc(out, '\'');
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if (c == '\'' || c == '\\') buf_addf(out, "\\%c", c);
        else if (c == '\n') buf_adds(out, "\\n");
        else if (c == '\r') buf_adds(out, "\\r");
        else if (c == '\t') buf_adds(out, "\\t");
        else if (c < 0x20) buf_addf(out, "\\u%04x", c);
        else buf_addc(out, (char)c);
    }
    buf_addc(out, '\'');
}

void jinja_add_literal(struct buf *out, struct text literal) {
    for (size_t i = 0; i < literal.len; i++) {
        char c = literal.at[i], next = i + 1 < literal.len ? literal.at[i + 1] : 0;
        bool opens = c == '{' && (next == '{' || next == '%' || next == '#');
        if (!opens) {
            buf_addc(out, c);
            continue;
        }
        buf_addf(out, "{{ '{%c' }}", next);
        i++;
    }
}
