"""By what ending a file is known as an image."""

#: Endings of files that are read as images, the usual ones first.
ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jfif", ".jpe", ".jp2", ".j2k"),
    *(".dib", ".ico", ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".tga"),
)
#: Endings of images that are not read: such a file is an error, not something else that lies there.
UNREAD_ENDINGS = (
    *(".heic", ".heif", ".jxl", ".svg", ".eps", ".psd", ".xcf", ".exr", ".hdr"),
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"),
)
