-- What Detect-and-Compare says of an image, as JSON.
alter table images add column score text;
