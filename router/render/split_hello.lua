-- The TLS server name of a ClientHello that HAProxy's own req.ssl_sni does not find: one that comes in several records.
-- A handshake message may be split anywhere (RFC 8446 section 5.1), in the middle of the name as well; large key shares and
-- tickets make it longer than one record, and some clients split on purpose.
--
-- A client decides what stands here. What is read is bounded, whatever it sends: a look at an unfinished ClientHello is a look
-- at the headers of its records.

local MOST_RECORDS = 64
-- With tune.bufsize, which is this, the records' headers and tune.maxrewrite.
local MOST_BYTES = 65536
local LONGEST_RECORD = 16384
local HANDSHAKE, CLIENT_HELLO, SERVER_NAME, HOST_NAME = 22, 1, 0, 0

local function bytes(txn, offset, count)
  local found = txn.f:req_payload(offset, count)
  if found == nil or #found < count then
    return nil
  end
  return found
end

-- Gives "no" for what is no ClientHello, or too long; "more" while it is not whole; or "whole" and the message.
local function client_hello(txn)
  local parts, offset, held, needed, head = {}, 0, 0, nil, ""
  for _ = 1, MOST_RECORDS do
    local kind = bytes(txn, offset, 1)
    if kind == nil then
      return "more"
    end
    if kind:byte() ~= HANDSHAKE then
      return "no"
    end
    local header = bytes(txn, offset, 5)
    if header == nil then
      return "more"
    end
    local _, major, _, length = string.unpack(">BBBI2", header)
    if major ~= 3 or length == 0 or length > LONGEST_RECORD then
      return "no"
    end
    if #head < 4 then
      local piece = bytes(txn, offset + 5, math.min(length, 4 - #head))
      if piece == nil then
        return "more"
      end
      head = head .. piece
      if head:byte() ~= CLIENT_HELLO then
        return "no"
      end
      if #head == 4 then
        needed = 4 + string.unpack(">I3", head, 2)
        if needed > MOST_BYTES then
          return "no"
        end
      end
    end
    if needed ~= nil and held + length >= needed then
      parts[#parts + 1] = { offset + 5, needed - held }
      for number, part in ipairs(parts) do
        local piece = bytes(txn, part[1], part[2])
        if piece == nil then
          return "more"
        end
        parts[number] = piece
      end
      return "whole", table.concat(parts)
    end
    parts[#parts + 1] = { offset + 5, length }
    held = held + length
    offset = offset + 5 + length
  end
  return "no"
end

-- Fails where the message is not what it should be: string.unpack raises an error beyond its end.
local function server_name(message)
  local _, position
  -- Type and length, version, random.
  position = 1 + 4 + 2 + 32
  _, position = string.unpack("s1", message, position)
  _, position = string.unpack(">s2", message, position)
  _, position = string.unpack("s1", message, position)
  local extensions = string.unpack(">s2", message, position)
  position = 1
  while position <= #extensions do
    local kind, content
    kind, content, position = string.unpack(">I2s2", extensions, position)
    if kind == SERVER_NAME then
      local _, form, name = string.unpack(">I2Bs2", content)
      return form == HOST_NAME and name or nil
    end
  end
  return nil
end

core.register_fetches("split_hello_unfinished", function(txn)
  return client_hello(txn) == "more"
end)

core.register_fetches("split_hello_name", function(txn)
  local state, message = client_hello(txn)
  if state ~= "whole" then
    return nil
  end
  local is_read, name = pcall(server_name, message)
  return is_read and name or nil
end)
