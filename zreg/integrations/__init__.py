"""Use zreg with servers and libraries; each module needs its library only when it is used."""
