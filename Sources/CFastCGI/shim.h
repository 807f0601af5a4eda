// libfcgi's request interface (FastCGI 1.0). fcgi_stdio.h is left out: it replaces stdio and `environ`.
#include <fcgiapp.h>
