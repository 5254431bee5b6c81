package objects
