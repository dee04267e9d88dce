"""zreg for the libraries and frameworks that programs use; each module needs its own library."""
