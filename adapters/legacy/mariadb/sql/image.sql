-- {image} and {subject} of the row {row}, into {into} and {of}. The columns are listed by name, and a column that is
-- dropped or renamed later must not make the application fail: what one expression over all cannot give (a column is
-- gone; all of them are more than max_allowed_packet) is put together from what there is.
BEGIN
  DECLARE CONTINUE HANDLER FOR 1054 BEGIN END;
  SET {into} = {image};
  SET {of} = {subject};
END;
IF {into} IS NULL THEN
  SET {into} = '';
  BEGIN
    -- A variable whose assignment fails is NULL afterwards.
    DECLARE s_piece LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
    DECLARE CONTINUE HANDLER FOR 1054 BEGIN END;
{pieces}
  END;
  SET {into} = concat('{{', substring({into}, 2), '}}');
END IF;
