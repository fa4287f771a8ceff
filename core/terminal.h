/* What is known of the terminal that a person looks at. */
#ifndef CORE_TERMINAL_H
#define CORE_TERMINAL_H

/* Its columns; -errno where there is no terminal or it does not tell. */
int terminal_width(int fd);

#endif
