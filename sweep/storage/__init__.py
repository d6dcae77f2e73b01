"""Files of a sweep on a disk or in a bucket, and who may write them."""
